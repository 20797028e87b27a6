//! One picture file: decoded, made grey or colour, resized, cropped.
//!
//! Owns: [`Fit`], how pictures of any size become the network's input, and [`read`]. Used by folders and by `predict`.
//! Grey is crate image's luma (Rec. 709: 0.2126 R + 0.7152 G + 0.0722 B), an alpha channel is dropped, 16 bits are
//! reduced to 8, resizing is bilinear with antialiasing (as torchvision's), the crop is the centre. EXIF orientation is
//! ignored, as torchvision's folders do.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Luma, Pixel, Rgb};

use super::{jpeg, missing};
use crate::config::Data;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;

/// How a picture's sides are changed before the crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Not at all.
    Keep,
    /// The shorter side becomes this long.
    Shorter(usize),
    /// Until it just covers the output.
    Cover,
}

/// How pictures of any size become the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    shape: Shape,
    scale: Scale,
    /// Whether every picture must already have the output's size.
    exact: bool,
}

impl Fit {
    /// The fit to a known input: `data.resize` and `data.crop` where they are given, otherwise pictures are scaled until
    /// they just cover the input. The centre is cut out.
    ///
    /// # Errors
    /// E0503 where the channels are neither 1 nor 3, or `data.resize` and `data.crop` do not lead to the input.
    pub fn new(data: &Data, input: Shape) -> Result<Self, Diagnostic> {
        let [channels, height, width] = input.dimensions();
        if channels != 1 && channels != 3 {
            let message =
                format!("pictures have 1 or 3 channels, but the network's input is {input}");
            return Err(Diagnostic::error(Code::E0503, message)
                .help(format!("write `input 3x{height}x{width}`")));
        }
        if let Some(crop) = data.crop
            && (crop, crop) != (height, width)
        {
            let images = Shape::image(channels, crop, crop);
            let message =
                format!("`data.crop` makes images of {images}, but the network's input is {input}");
            let help = if height == width {
                format!("write `crop = {height}`, or `input {images}`")
            } else {
                "leave `data.crop` out".into()
            };
            return Err(Diagnostic::error(Code::E0503, message).help(help));
        }
        if let Some(resize) = data.resize.filter(|&resize| resize < height.max(width)) {
            let message = format!(
                "`data.resize = {resize}` makes images smaller than the network's input, which is {input}"
            );
            let help = format!("write `resize = {}` or more", height.max(width));
            return Err(Diagnostic::error(Code::E0503, message).help(help));
        }
        let scale = match (data.resize, data.crop) {
            (Some(resize), _) => Scale::Shorter(resize),
            (None, Some(_)) => Scale::Keep,
            (None, None) => Scale::Cover,
        };
        Ok(Self {
            shape: input,
            scale,
            exact: false,
        })
    }

    /// The fit where the network leaves its input to the data: `data.crop`, else `data.resize`, gives the size; with
    /// neither every picture must be of the size of the first.
    pub(super) fn of_pictures(data: &Data, channels: usize, first: (usize, usize)) -> Self {
        let side = data.crop.or(data.resize);
        let (height, width) = side.map_or(first, |side| (side, side));
        let scale = data.resize.map_or(Scale::Keep, Scale::Shorter);
        Self {
            shape: Shape::image(channels, height, width),
            scale,
            exact: side.is_none(),
        }
    }

    /// The shape of every image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sides to which a picture is resized.
    fn scaled(&self, height: usize, width: usize) -> (usize, usize) {
        let [_, out_height, out_width] = self.shape.dimensions();
        // The longer side is rounded down, as in torchvision, but never below the output or to nothing.
        let follow = |long: usize, to: usize, short: usize| (long * to / short.max(1)).max(1);
        match self.scale {
            Scale::Keep => (height, width),
            Scale::Shorter(side) if height <= width => (side, follow(width, side, height)),
            Scale::Shorter(side) => (follow(height, side, width), side),
            Scale::Cover if height * out_width <= width * out_height => {
                (out_height, follow(width, out_height, height).max(out_width))
            }
            Scale::Cover => (follow(height, out_width, width).max(out_height), out_width),
        }
    }

    /// Writes a picture as 8-bit pixels `[channels, height, width]`.
    ///
    /// # Errors
    /// E0503 where it is too small for the crop, or of another size where all must be equal.
    fn apply(
        &self,
        picture: &DynamicImage,
        path: &Path,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic> {
        let (height, width) = (picture.height() as usize, picture.width() as usize);
        let [channels, out_height, out_width] = self.shape.dimensions();
        let (tall, wide) = self.scaled(height, width);
        let wrong = if self.exact {
            (height, width) != (out_height, out_width)
        } else {
            tall < out_height || wide < out_width
        };
        if wrong {
            let found = Shape::image(channels, height, width);
            let message = format!(
                "`{}` is {found}, but images of {} are wanted",
                path.display(),
                self.shape
            );
            let help = format!(
                "set `data.resize`, for example `resize = {}`",
                out_height.max(out_width)
            );
            return Err(Diagnostic::error(Code::E0503, message).help(help));
        }
        let size = (tall as u32, wide as u32);
        if channels == 1 {
            write::<Luma<u8>>(&picture.to_luma8(), size, (out_height, out_width), pixels);
        } else {
            write::<Rgb<u8>>(&picture.to_rgb8(), size, (out_height, out_width), pixels);
        }
        Ok(())
    }
}

/// Resizes, crops the centre, and turns rows of pixels into planes of channels.
fn write<P: Pixel<Subpixel = u8> + 'static>(
    picture: &ImageBuffer<P, Vec<u8>>,
    (tall, wide): (u32, u32),
    (height, width): (usize, usize),
    pixels: &mut [u8],
) {
    let resized;
    let picture = if picture.dimensions() == (wide, tall) {
        picture
    } else {
        resized = resize(picture, wide, tall, FilterType::Triangle);
        &resized
    };
    let (top, left) = ((tall - height as u32) / 2, (wide - width as u32) / 2);
    let plane = height * width;
    for y in 0..height {
        for x in 0..width {
            let pixel = picture.get_pixel(left + x as u32, top + y as u32);
            for (channel, &value) in pixel.channels().iter().enumerate() {
                pixels[channel * plane + y * width + x] = value;
            }
        }
    }
}

/// Reads a JPEG or PNG file (whichever its bytes say it is) into `pixels`, `[channels, height, width]` of the fit.
///
/// # Errors
/// E0501 no such file, E0502 no picture or a broken one (with the decoder's words), E0503 a size that does not fit,
/// E0901 an unreadable file.
pub fn read(path: &Path, fit: &Fit, pixels: &mut [u8]) -> Result<(), Diagnostic> {
    let bytes = bytes(path)?;
    let picture = reader(path, &bytes)?
        .decode()
        .map_err(|error| broken(path, &error.to_string()))?;
    fit.apply(&picture, path, pixels)
}

/// Height and width of a picture, and whether it has colours, from its header alone.
///
/// # Errors
/// As [`read`], but for E0503.
pub(super) fn header(path: &Path) -> Result<((usize, usize), bool), Diagnostic> {
    let bytes = bytes(path)?;
    let decoder = reader(path, &bytes)?
        .into_decoder()
        .map_err(|error| broken(path, &error.to_string()))?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type().has_color();
    Ok(((height as usize, width as usize), colour))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(path),
        _ => unreadable(path, &error),
    })
}

fn reader<'a>(path: &Path, bytes: &'a [u8]) -> Result<ImageReader<Cursor<&'a [u8]>>, Diagnostic> {
    if bytes.is_empty() {
        return Err(broken(path, "the file is empty"));
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|error| broken(path, &error.to_string()))?;
    match reader.format() {
        None => return Err(broken(path, "neither JPEG nor PNG")),
        Some(ImageFormat::Jpeg) => {
            if let Some(byte) = jpeg::cut_off(bytes) {
                return Err(broken(
                    path,
                    &format!("the file ends at byte {byte}, before the end of the image"),
                ));
            }
        }
        Some(_) => {}
    }
    Ok(reader)
}

fn broken(path: &Path, words: &str) -> Diagnostic {
    let message = format!(
        "`{}` is no picture that can be read: {words}",
        path.display()
    );
    Diagnostic::error(Code::E0502, message)
        .help("repair or remove it, or set `data.broken = \"skip\"`")
}
