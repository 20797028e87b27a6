//! Memory in huge pages for devices that compute in the host's memory.
//!
//! A CPU driver allocates pages of 4 KiB, of which a matrix of weights has more than the processor's table of addresses: a
//! fully connected layer of 4704 to 1024 in batches of 128 took 8.0 ms, in pages of 2 MiB 7.2 (PoCL 3.1, 2026-11-28).

use memmap2::{MmapMut, MmapOptions};

use crate::op::limits::{Class, Limits};

/// Bytes of a huge page.
const PAGE: usize = 2 << 20;

/// Zeroed memory that starts at a multiple of a huge page.
#[derive(Debug)]
pub struct Pages {
    map: MmapMut,
    /// Where it starts within the mapping.
    skip: usize,
}

impl Pages {
    /// Memory for a buffer of so many bytes, where it gains from huge pages and the system has it.
    pub fn worthwhile(limits: &Limits, bytes: u64) -> Option<Self> {
        if limits.class != Class::Cpu || bytes < PAGE as u64 {
            return None;
        }
        // Where the system refuses, the driver's own allocation says so in its words.
        let map = MmapOptions::new()
            .len(usize::try_from(bytes).ok()?.checked_add(PAGE)?)
            .map_anon()
            .ok()?;
        // Without huge pages it is memory like any other.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let skip = map.as_ptr().align_offset(PAGE);
        (skip < PAGE).then_some(Self { map, skip })
    }

    /// Its first byte.
    pub fn start(&self) -> *mut u8 {
        self.map.as_ptr().wrapping_add(self.skip).cast_mut()
    }
}
