//! Every OpenCL function that cl-sys 0.4 declares with the features that ocl 0.19 turns on (OpenCL 1.1, 1.2 and GL
//! sharing), defined as a forwarder: one line a function. [`super::loader`] says how and why.

#![allow(non_snake_case)] // the functions' names are OpenCL's
#![allow(clippy::too_many_arguments)] // so are their arguments
#![allow(clippy::wildcard_imports)] // and the fifty types of those
#![allow(improper_ctypes_definitions)] // cl-sys declares one `char *` as `*const char`

use std::ptr;
use std::sync::OnceLock;

use libloading::Library;
use ocl::core::ffi::{self, *};

use super::loader::{PLATFORM_NOT_FOUND, forwarders, open, symbol};

type ContextNotify = Option<extern "C" fn(*const c_char, *const c_void, size_t, *mut c_void)>;
type ProgramNotify = Option<extern "C" fn(cl_program, *mut c_void)>;
type MemoryNotify = Option<extern "C" fn(cl_mem, *mut c_void)>;
type EventNotify = Option<extern "C" fn(cl_event, cl_int, *mut c_void)>;
type NativeKernel = Option<extern "C" fn(*mut c_void)>;

// `status` functions give a `cl_int`; `object` functions a handle, and the error through one more last argument,
// `errcode_ret`; `address` functions are those that cl-sys declares without or with another result.
forwarders! {
    status {
        clGetPlatformIDs(num_entries: cl_uint, platforms: *mut cl_platform_id, num_platforms: *mut cl_uint);
        clGetPlatformInfo(
            platform: cl_platform_id, param_name: cl_platform_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clGetDeviceIDs(
            platform: cl_platform_id, device_type: cl_device_type, num_entries: cl_uint, devices: *mut cl_device_id,
            num_devices: *mut cl_uint
        );
        clGetDeviceInfo(
            device: cl_device_id, param_name: cl_device_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clCreateSubDevices(
            in_device: cl_device_id, properties: *const cl_device_partition_property, num_devices: cl_uint,
            out_devices: *mut cl_device_id, num_devices_ret: *mut cl_uint
        );
        clRetainDevice(device: cl_device_id);
        clReleaseDevice(device: cl_device_id);
        clRetainContext(context: cl_context);
        clReleaseContext(context: cl_context);
        clGetContextInfo(
            context: cl_context, param_name: cl_context_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clRetainCommandQueue(command_queue: cl_command_queue);
        clReleaseCommandQueue(command_queue: cl_command_queue);
        clGetCommandQueueInfo(
            command_queue: cl_command_queue, param_name: cl_command_queue_info, param_value_size: size_t,
            param_value: *mut c_void, param_value_size_ret: *mut size_t
        );
        clRetainMemObject(memobj: cl_mem);
        clReleaseMemObject(memobj: cl_mem);
        clGetSupportedImageFormats(
            context: cl_context, flags: cl_mem_flags, image_type: cl_mem_object_type, num_entries: cl_uint,
            image_formats: *mut cl_image_format, num_image_formats: *mut cl_uint
        );
        clGetMemObjectInfo(
            memobj: cl_mem, param_name: cl_mem_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clGetImageInfo(
            image: cl_mem, param_name: cl_image_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clSetMemObjectDestructorCallback(memobj: cl_mem, pfn_notify: MemoryNotify, user_data: *mut c_void);
        clRetainSampler(sampler: cl_sampler);
        clReleaseSampler(sampler: cl_sampler);
        clGetSamplerInfo(
            sampler: cl_sampler, param_name: cl_sampler_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clRetainProgram(program: cl_program);
        clReleaseProgram(program: cl_program);
        clBuildProgram(
            program: cl_program, num_devices: cl_uint, device_list: *const cl_device_id, options: *const c_char,
            pfn_notify: ProgramNotify, user_data: *mut c_void
        );
        clUnloadCompiler();
        clCompileProgram(
            program: cl_program, num_devices: cl_uint, device_list: *const cl_device_id, options: *const c_char,
            num_input_headers: cl_uint, input_headers: *const cl_program, header_include_names: *const *const c_char,
            pfn_notify: ProgramNotify, user_data: *mut c_void
        );
        clGetProgramInfo(
            program: cl_program, param_name: cl_program_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clGetProgramBuildInfo(
            program: cl_program, device: cl_device_id, param_name: cl_program_build_info, param_value_size: size_t,
            param_value: *mut c_void, param_value_size_ret: *mut size_t
        );
        clCreateKernelsInProgram(
            program: cl_program, num_kernels: cl_uint, kernels: *mut cl_kernel, num_kernels_ret: *mut cl_uint
        );
        clRetainKernel(kernel: cl_kernel);
        clReleaseKernel(kernel: cl_kernel);
        clSetKernelArg(kernel: cl_kernel, arg_index: cl_uint, arg_size: size_t, arg_value: *const c_void);
        clGetKernelInfo(
            kernel: cl_kernel, param_name: cl_kernel_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clGetKernelArgInfo(
            kernel: cl_kernel, arg_indx: cl_uint, param_name: cl_kernel_arg_info, param_value_size: size_t,
            param_value: *mut c_void, param_value_size_ret: *mut size_t
        );
        clGetKernelWorkGroupInfo(
            kernel: cl_kernel, device: cl_device_id, param_name: cl_kernel_work_group_info, param_value_size: size_t,
            param_value: *mut c_void, param_value_size_ret: *mut size_t
        );
        clWaitForEvents(num_events: cl_uint, event_list: *const cl_event);
        clGetEventInfo(
            event: cl_event, param_name: cl_event_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clRetainEvent(event: cl_event);
        clReleaseEvent(event: cl_event);
        clSetUserEventStatus(event: cl_event, execution_status: cl_int);
        clSetEventCallback(
            event: cl_event, command_exec_callback_type: cl_int, pfn_notify: EventNotify, user_data: *mut c_void
        );
        clGetEventProfilingInfo(
            event: cl_event, param_name: cl_profiling_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clFlush(command_queue: cl_command_queue);
        clFinish(command_queue: cl_command_queue);
        clEnqueueReadBuffer(
            command_queue: cl_command_queue, buffer: cl_mem, blocking_read: cl_bool, offset: size_t, cb: size_t,
            ptr: *mut c_void, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueReadBufferRect(
            command_queue: cl_command_queue, buffer: cl_mem, blocking_read: cl_bool, buffer_origin: *const size_t,
            host_origin: *const size_t, region: *const size_t, buffer_row_pitch: size_t, buffer_slc_pitch: size_t,
            host_row_pitch: size_t, host_slc_pitch: size_t, ptr: *mut c_void, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueWriteBuffer(
            command_queue: cl_command_queue, buffer: cl_mem, blocking_write: cl_bool, offset: size_t, cb: size_t,
            ptr: *const c_void, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueWriteBufferRect(
            command_queue: cl_command_queue, buffer: cl_mem, blocking_write: cl_bool, buffer_origin: *const size_t,
            host_origin: *const size_t, region: *const size_t, buffer_row_pitch: size_t, buffer_slc_pitch: size_t,
            host_row_pitch: size_t, host_slc_pitch: size_t, ptr: *const c_void, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueFillBuffer(
            command_queue: cl_command_queue, buffer: cl_mem, pattern: *const c_void, pattern_size: size_t,
            offset: size_t, size: size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueCopyBuffer(
            command_queue: cl_command_queue, src_buffer: cl_mem, dst_buffer: cl_mem, src_offset: size_t,
            dst_offset: size_t, cb: size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueCopyBufferRect(
            command_queue: cl_command_queue, src_buffer: cl_mem, dst_buffer: cl_mem, src_origin: *const size_t,
            dst_origin: *const size_t, region: *const size_t, src_row_pitch: size_t, src_slc_pitch: size_t,
            dst_row_pitch: size_t, dst_slc_pitch: size_t, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueReadImage(
            command_queue: cl_command_queue, image: cl_mem, blocking_read: cl_bool, origin: *const size_t,
            region: *const size_t, row_pitch: size_t, slc_pitch: size_t, ptr: *mut c_void,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueWriteImage(
            command_queue: cl_command_queue, image: cl_mem, blocking_write: cl_bool, origin: *const size_t,
            region: *const size_t, input_row_pitch: size_t, input_slc_pitch: size_t, ptr: *const c_void,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueFillImage(
            command_queue: cl_command_queue, image: cl_mem, fill_color: *const c_void, origin: *const size_t,
            region: *const size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueCopyImage(
            command_queue: cl_command_queue, src_image: cl_mem, dst_image: cl_mem, src_origin: *const size_t,
            dst_origin: *const size_t, region: *const size_t, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueCopyImageToBuffer(
            command_queue: cl_command_queue, src_image: cl_mem, dst_buffer: cl_mem, src_origin: *const size_t,
            region: *const size_t, dst_offset: size_t, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueCopyBufferToImage(
            command_queue: cl_command_queue, src_buffer: cl_mem, dst_image: cl_mem, src_offset: size_t,
            dst_origin: *const size_t, region: *const size_t, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueUnmapMemObject(
            command_queue: cl_command_queue, memobj: cl_mem, mapped_ptr: *mut c_void, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueMigrateMemObjects(
            command_queue: cl_command_queue, num_mem_objects: cl_uint, mem_objects: *const cl_mem,
            flags: cl_mem_migration_flags, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueNDRangeKernel(
            command_queue: cl_command_queue, kernel: cl_kernel, work_dim: cl_uint, global_work_offset: *const size_t,
            global_work_dims: *const size_t, local_work_dims: *const size_t, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueTask(
            command_queue: cl_command_queue, kernel: cl_kernel, num_events_in_wait_list: cl_uint,
            event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueNativeKernel(
            command_queue: cl_command_queue, user_func: NativeKernel, args: *mut c_void, cb_args: size_t,
            num_mem_objects: cl_uint, mem_list: *const cl_mem, args_mem_loc: *const *const c_void,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueMarker(command_queue: cl_command_queue, event: *mut cl_event);
        clEnqueueMarkerWithWaitList(
            command_queue: cl_command_queue, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueWaitForEvents(command_queue: cl_command_queue, num_events: cl_uint, event_list: *mut cl_event);
        clEnqueueBarrierWithWaitList(
            command_queue: cl_command_queue, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        );
        clEnqueueBarrier(command_queue: cl_command_queue);
        clGetGLObjectInfo(memobj: cl_mem, gl_object_type: *mut cl_gl_object_type, gl_object_name: *mut cl_GLuint);
        clGetGLTextureInfo(
            memobj: cl_mem, param_name: cl_gl_texture_info, param_value_size: size_t, param_value: *mut c_void,
            param_value_size_ret: *mut size_t
        );
        clEnqueueAcquireGLObjects(
            command_queue: cl_command_queue, num_objects: cl_uint, mem_objects: *const cl_mem,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clEnqueueReleaseGLObjects(
            command_queue: cl_command_queue, num_objects: cl_uint, mem_objects: *const cl_mem,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        );
        clGetGLContextInfoKHR(
            properties: *const cl_context_properties, param_name: cl_gl_context_info, param_value_size: size_t,
            param_value: *mut c_void, param_value_size_ret: *mut size_t
        );
    }
    object {
        clCreateContext(
            properties: *const cl_context_properties, num_devices: cl_uint, devices: *const cl_device_id,
            pfn_notify: ContextNotify, user_data: *mut c_void
        ) -> cl_context;
        clCreateContextFromType(
            properties: *const cl_context_properties, device_type: cl_device_type, pfn_notify: ContextNotify,
            user_data: *mut c_void
        ) -> cl_context;
        clCreateCommandQueue(
            context: cl_context, device: cl_device_id, properties: cl_command_queue_properties
        ) -> cl_command_queue;
        clCreateBuffer(context: cl_context, flags: cl_mem_flags, size: size_t, host_ptr: *mut c_void) -> cl_mem;
        clCreateSubBuffer(
            buffer: cl_mem, flags: cl_mem_flags, buffer_create_type: cl_buffer_create_type,
            buffer_create_info: *const c_void
        ) -> cl_mem;
        clCreateImage2D(
            context: cl_context, flags: cl_mem_flags, image_format: *mut cl_image_format, image_width: size_t,
            image_depth: size_t, image_slc_pitch: size_t, host_ptr: *mut c_void
        ) -> cl_mem;
        clCreateImage3D(
            context: cl_context, flags: cl_mem_flags, image_format: *mut cl_image_format, image_width: size_t,
            image_height: size_t, image_depth: size_t, image_row_pitch: size_t, image_slc_pitch: size_t,
            host_ptr: *mut c_void
        ) -> cl_mem;
        clCreateImage(
            context: cl_context, flags: cl_mem_flags, image_format: *const cl_image_format,
            image_desc: *const cl_image_desc, host_ptr: *mut c_void
        ) -> cl_mem;
        clCreateSampler(
            context: cl_context, normalize_coords: cl_bool, addressing_mode: cl_addressing_mode,
            filter_mode: cl_filter_mode
        ) -> cl_sampler;
        clCreateProgramWithSource(
            context: cl_context, count: cl_uint, strings: *const *const c_char, lengths: *const size_t
        ) -> cl_program;
        clCreateProgramWithBinary(
            context: cl_context, num_devices: cl_uint, device_list: *const cl_device_id, lengths: *const size_t,
            binaries: *const *const c_uchar, binary_status: *mut cl_int
        ) -> cl_program;
        clCreateProgramWithBuiltInKernels(
            context: cl_context, num_devices: cl_uint, device_list: *const cl_device_id, kernel_names: *const char
        ) -> cl_program;
        clLinkProgram(
            context: cl_context, num_devices: cl_uint, device_list: *const cl_device_id, options: *const c_char,
            num_input_programs: cl_uint, input_programs: *const cl_program, pfn_notify: ProgramNotify,
            user_data: *mut c_void
        ) -> cl_program;
        clCreateKernel(program: cl_program, kernel_name: *const c_char) -> cl_kernel;
        clCreateUserEvent(context: cl_context) -> cl_event;
        clEnqueueMapBuffer(
            command_queue: cl_command_queue, buffer: cl_mem, blocking_map: cl_bool, map_flags: cl_map_flags,
            offset: size_t, size: size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
            event: *mut cl_event
        ) -> *mut c_void;
        clEnqueueMapImage(
            command_queue: cl_command_queue, image: cl_mem, blocking_map: cl_bool, map_flags: cl_map_flags,
            origin: *const size_t, region: *const size_t, image_row_pitch: *mut size_t, image_slc_pitch: *mut size_t,
            num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
        ) -> *mut c_void;
        clCreateFromGLBuffer(context: cl_context, flags: cl_mem_flags, bufobj: cl_GLuint) -> cl_mem;
        clCreateFromGLTexture(
            context: cl_context, flags: cl_mem_flags, texture_target: cl_GLenum, miplevel: cl_GLint, texture: cl_GLuint
        ) -> cl_mem;
        clCreateFromGLRenderbuffer(context: cl_context, flags: cl_mem_flags, renderbuffer: cl_GLuint) -> cl_mem;
        clCreateFromGLTexture2D(
            context: cl_context, flags: cl_mem_flags, texture_target: cl_GLenum, miplevel: cl_GLint, texture: cl_GLuint
        ) -> cl_mem;
        clCreateFromGLTexture3D(
            context: cl_context, flags: cl_mem_flags, texture_target: cl_GLenum, miplevel: cl_GLint, texture: cl_GLuint
        ) -> cl_mem;
    }
    address {
        clGetExtensionFunctionAddress(func_name: *mut c_char);
        clGetExtensionFunctionAddressForPlatform(platform: cl_platform_id, func_name: *const c_char);
    }
}
