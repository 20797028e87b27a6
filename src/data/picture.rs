//! One picture file: decoded, made grey or colour, resized, cropped.
//!
//! Owns: [`Fit`], how pictures of any size become the network's input, [`read`], and the parts of it that folders
//! take apart to keep what lies between: [`decode`], [resizing](Decoded::whole), [`Fit::cut`]. Where nothing is kept only
//! what is cut out is resized, so that memory is bounded by the decoded picture, whatever its sides. Used by folders and by
//! `predict`. Grey is crate image's luma (Rec. 709: 0.2126 R + 0.7152 G + 0.0722 B), and one channel until it is cut; an
//! alpha channel is dropped, 16 bits are reduced to 8, resizing is bilinear with antialiasing (as torchvision's). EXIF
//! orientation is ignored, as torchvision's folders do.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use image::{ImageDecoder, ImageFormat, ImageReader};

use super::augment::pick;
use super::resize::resize;
use super::{jpeg, missing, png};
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
    /// Until it just covers this height and width.
    Cover(usize, usize),
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
        if let Some(crop) = data.crop {
            check_crop(crop, input)?;
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
            (None, None) => Scale::Cover(height, width),
        };
        Ok(Self {
            shape: input,
            scale,
            exact: false,
        })
    }

    /// The fit to the input of a network that has learned from images of one size, which pictures are scaled to cover; what
    /// `data.crop` cuts out of those is cut out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_stored(
        data: &Data,
        input: Shape,
        (height, width): (usize, usize),
    ) -> Result<Self, Diagnostic> {
        let own = Data {
            resize: None,
            crop: None,
            ..data.clone()
        };
        Ok(Self {
            scale: Scale::Cover(height, width),
            ..Self::new(&own, input)?
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
        // The longer side is rounded down, as in torchvision, but never below the output or to nothing.
        let follow = |long: usize, to: usize, short: usize| (long * to / short.max(1)).max(1);
        match self.scale {
            Scale::Keep => (height, width),
            Scale::Shorter(side) if height <= width => (side, follow(width, side, height)),
            Scale::Shorter(side) => (follow(height, side, width), side),
            Scale::Cover(tall, wide) if height * wide <= width * tall => {
                (tall, follow(width, tall, height).max(wide))
            }
            Scale::Cover(tall, wide) => (follow(height, wide, width).max(tall), wide),
        }
    }

    /// The bytes that are kept of a picture whose file has this header.
    pub(super) fn stored(&self, header: &Header) -> usize {
        let (height, width) = header.sides;
        let to = self.scaled(height, width);
        let channels = if header.colour { self.channels() } else { 1 };
        if is_kept(header.sides, to) {
            channels * to.0 * to.1
        } else {
            0
        }
    }

    fn channels(&self) -> usize {
        self.shape.dimensions()[0]
    }

    /// The sides to which a picture of a file is resized.
    ///
    /// # Errors
    /// E0503 where it is too small for the crop, or of another size where all must be equal.
    fn checked(
        &self,
        height: usize,
        width: usize,
        path: &Path,
    ) -> Result<(usize, usize), Diagnostic> {
        let [channels, out_height, out_width] = self.shape.dimensions();
        let (tall, wide) = self.scaled(height, width);
        let wrong = if self.exact {
            (height, width) != (out_height, out_width)
        } else {
            tall < out_height || wide < out_width
        };
        if !wrong {
            return Ok((tall, wide));
        }
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
        Err(Diagnostic::error(Code::E0503, message).help(help))
    }

    /// Writes the part of a resized picture that the network sees as `[channels, height, width]`: where the two random
    /// words say, otherwise the centre.
    pub(super) fn cut(&self, picture: &Picture<'_>, crop: Option<[u32; 2]>, pixels: &mut [u8]) {
        let [_, height, width] = self.shape.dimensions();
        let (top, left) = place((picture.height, picture.width), (height, width), crop);
        let channels = picture.channels();
        let plane = height * width;
        let rows = picture.pixels.chunks_exact(picture.width * channels);
        let rows = rows
            .skip(top)
            .take(height)
            .map(|row| &row[left * channels..][..width * channels]);
        if channels == 1 {
            let (grey, others) = pixels.split_at_mut(plane);
            for (row, out) in rows.zip(grey.chunks_exact_mut(width)) {
                out.copy_from_slice(row);
            }
            for other in others.chunks_exact_mut(plane) {
                other.copy_from_slice(grey);
            }
            return;
        }
        let (red, others) = pixels.split_at_mut(plane);
        let (green, blue) = others.split_at_mut(plane);
        let planes = red
            .chunks_exact_mut(width)
            .zip(green.chunks_exact_mut(width))
            .zip(blue.chunks_exact_mut(width));
        for (row, ((red, green), blue)) in rows.zip(planes) {
            let out = red.iter_mut().zip(green).zip(blue);
            for (&[r, g, b], ((red, green), blue)) in row.as_chunks::<3>().0.iter().zip(out) {
                (*red, *green, *blue) = (r, g, b);
            }
        }
    }
}

/// Whether the square of `data.crop` is the network's input.
///
/// # Errors
/// E0503 where it is not.
pub(super) fn check_crop(crop: usize, input: Shape) -> Result<(), Diagnostic> {
    let [channels, height, width] = input.dimensions();
    if (crop, crop) == (height, width) {
        return Ok(());
    }
    let images = Shape::image(channels, crop, crop);
    let message =
        format!("`data.crop` makes images of {images}, but the network's input is {input}");
    let help = if height == width {
        format!("write `crop = {height}`, or `input {images}`")
    } else {
        "leave `data.crop` out".into()
    };
    Err(Diagnostic::error(Code::E0503, message).help(help))
}

/// The first row and column of what is cut out of an image: where the two random words say, otherwise the centre.
pub(super) fn place(
    (tall, wide): (usize, usize),
    (height, width): (usize, usize),
    crop: Option<[u32; 2]>,
) -> (usize, usize) {
    let (down, right) = (tall - height, wide - width);
    match crop {
        Some([row, column]) => (pick(row, down + 1), pick(column, right + 1)),
        None => (down / 2, right / 2),
    }
}

/// Pixels of a resized picture that is kept, at most.
const MOST_KEPT: usize = 1 << 26;

/// How many times longer than its shorter side a resized picture that is kept may be: of a line of pixels that becomes
/// millions of them, an image needs few.
const LONGEST_KEPT: usize = 64;

/// Whether a picture is kept whole, resized from these sides to those.
fn is_kept(from: (usize, usize), to: (usize, usize)) -> bool {
    let (short, long) = (to.0.min(to.1), to.0.max(to.1));
    from == to || (short * long <= MOST_KEPT && long <= LONGEST_KEPT * short)
}

/// A picture's pixels, row by row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, channels]`; one channel is grey, whatever the network's input.
    pub pixels: &'a [u8],
}

impl Picture<'_> {
    fn channels(&self) -> usize {
        self.pixels.len() / (self.height * self.width)
    }
}

/// A decoded picture, and the sides that it is resized to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded<'a> {
    picture: Picture<'a>,
    to: (usize, usize),
}

impl Decoded<'_> {
    fn sides(&self) -> (usize, usize) {
        (self.picture.height, self.picture.width)
    }

    fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Vec<u8> {
        let Picture { pixels, .. } = self.picture;
        let (part, channels) = ((rows, columns), self.picture.channels());
        resize(pixels, self.sides(), self.to, part, channels)
    }

    /// Whether it is worth keeping resized, as a whole.
    pub fn is_kept(&self) -> bool {
        is_kept(self.sides(), self.to)
    }

    /// Shows the whole resized picture.
    pub fn whole(&self, see: impl FnOnce(&Picture<'_>)) {
        if self.to == self.sides() {
            return see(&self.picture);
        }
        let (height, width) = self.to;
        let pixels = &self.part(0..height, 0..width);
        see(&Picture {
            height,
            width,
            pixels,
        });
    }

    /// [`Fit::cut`] of the resized picture, of which only that is computed.
    pub fn cut(&self, fit: &Fit, crop: Option<[u32; 2]>, pixels: &mut [u8]) {
        if self.to == self.sides() {
            return fit.cut(&self.picture, crop, pixels);
        }
        let [_, height, width] = fit.shape.dimensions();
        let (top, left) = place(self.to, (height, width), crop);
        let part = &self.part(top..top + height, left..left + width);
        let picture = Picture {
            height,
            width,
            pixels: part,
        };
        fit.cut(&picture, None, pixels);
    }
}

/// Buffers of one reader, used again for every picture.
#[derive(Debug, Default)]
pub struct Scratch {
    file: Vec<u8>,
    decoded: Vec<u8>,
    /// A copy of an image's pixels.
    pub(super) spare: Vec<u8>,
}

/// Reads a JPEG or PNG file (whichever its bytes say it is) into `pixels`, `[channels, height, width]` of the fit, the
/// centre.
///
/// # Errors
/// E0501 no such file, E0502 no picture or a broken one (with the decoder's words), E0503 a size that does not fit,
/// E0901 an unreadable file.
pub fn read(path: &Path, fit: &Fit, pixels: &mut [u8]) -> Result<(), Diagnostic> {
    let mut scratch = Scratch::default();
    let decoded = decode(path, fit, &mut scratch).map_err(|fault| match fault.code {
        Code::E0501 => missing(path),
        _ => fault,
    })?;
    decoded.cut(fit, None, pixels);
    Ok(())
}

/// Reads a picture file as far as resizing.
///
/// # Errors
/// Those of [`read`].
pub(super) fn decode<'a>(
    path: &Path,
    fit: &Fit,
    scratch: &'a mut Scratch,
) -> Result<Decoded<'a>, Diagnostic> {
    let Scratch { file, decoded, .. } = scratch;
    file.clear();
    let mut opened = open(path)?;
    opened
        .read_to_end(file)
        .map_err(|error| failed(path, &error))?;
    let format = format(path, file)?;
    whole(path, format, file)?;
    let channels = fit.channels();
    let fast = if format == ImageFormat::Jpeg {
        jpeg::decode(file, channels, decoded)
    } else {
        None
    };
    let (height, width) = if let Some(sides) = fast {
        sides
    } else {
        // The picture before must not take memory beside this one.
        *decoded = Vec::new();
        let picture = reader(file, format)
            .decode()
            .map_err(|error| broken(path, &error.to_string()))?;
        let sides = (picture.height() as usize, picture.width() as usize);
        *decoded = if channels == 1 || !picture.color().has_color() {
            picture.into_luma8().into_raw()
        } else {
            picture.into_rgb8().into_raw()
        };
        sides
    };
    Ok(Decoded {
        to: fit.checked(height, width, path)?,
        picture: Picture {
            height,
            width,
            pixels: decoded,
        },
    })
}

/// What to do about a picture in a folder.
const REMEDY: &str = "repair or remove it, or set `data.broken = \"skip\"`";

/// So many of a file's first bytes hold the header, unless other data stands before it.
const FIRST: u64 = 16 << 10;

/// What the header of a picture says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    format: ImageFormat,
    /// Height and width.
    pub sides: (usize, usize),
    /// Whether it has colours.
    pub colour: bool,
}

/// The header of a picture, from the first bytes of its file.
///
/// # Errors
/// As [`read`], but for E0503.
pub(super) fn header(path: &Path) -> Result<Header, Diagnostic> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    let mut more = |limit: u64, bytes: &mut Vec<u8>| {
        let read = file.by_ref().take(limit).read_to_end(bytes);
        read.map_err(|error| failed(path, &error))
    };
    more(FIRST, &mut bytes)?;
    let of = |bytes: &[u8]| {
        let format = format(path, bytes)?;
        let decoder = reader(bytes, format).into_decoder();
        let decoder = decoder.map_err(|error| broken(path, &error.to_string()))?;
        let (width, height) = decoder.dimensions();
        Ok(Header {
            format,
            sides: (height as usize, width as usize),
            colour: decoder.color_type().has_color(),
        })
    };
    match of(&bytes) {
        Err(_) if bytes.len() as u64 == FIRST => {
            more(u64::MAX, &mut bytes)?;
            of(&bytes)
        }
        found => found,
    }
}

/// Looks whether a file can be opened, is a picture of a size that fits, and has its end, without decoding it.
///
/// # Errors
/// Those of [`read`].
pub(super) fn look(path: &Path, fit: &Fit) -> Result<(), Diagnostic> {
    let header = header(path)?;
    let (height, width) = header.sides;
    fit.checked(height, width, path)?;
    let end: &[u8] = match header.format {
        ImageFormat::Jpeg => &jpeg::END,
        _ => &png::END,
    };
    let mut file = open(path)?;
    if ends(&mut file, end).map_err(|error| failed(path, &error))? {
        return Ok(());
    }
    // Something stands after the end, or there is none.
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    read.map_err(|error| failed(path, &error))?;
    whole(path, header.format, &bytes)
}

/// Whether these are a file's last bytes.
fn ends(file: &mut File, end: &[u8]) -> io::Result<bool> {
    let size = file.seek(SeekFrom::End(0))?;
    let Some(start) = size.checked_sub(end.len() as u64) else {
        return Ok(false);
    };
    file.seek(SeekFrom::Start(start))?;
    let mut last = Vec::with_capacity(end.len());
    file.take(end.len() as u64).read_to_end(&mut last)?;
    Ok(last == end)
}

fn open(path: &Path) -> Result<File, Diagnostic> {
    File::open(path).map_err(|error| failed(path, &error))
}

/// E0501 or E0901.
fn failed(path: &Path, error: &io::Error) -> Diagnostic {
    unreadable(path, error).help(REMEDY)
}

/// What a file's first bytes say it is.
fn format(path: &Path, bytes: &[u8]) -> Result<ImageFormat, Diagnostic> {
    if bytes.is_empty() {
        return Err(broken(path, "the file is empty"));
    }
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => Ok(format),
        _ => Err(broken(path, "neither JPEG nor PNG")),
    }
}

fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    ImageReader::with_format(Cursor::new(bytes), format)
}

/// Whether a file goes to its end.
fn whole(path: &Path, format: ImageFormat, bytes: &[u8]) -> Result<(), Diagnostic> {
    let cut_off = match format {
        ImageFormat::Jpeg => jpeg::cut_off(bytes),
        _ => png::cut_off(bytes),
    };
    match cut_off {
        None => Ok(()),
        Some(byte) => Err(broken(
            path,
            &format!("the file ends at byte {byte}, before the end of the image"),
        )),
    }
}

fn broken(path: &Path, words: &str) -> Diagnostic {
    let message = format!(
        "`{}` is no picture that can be read: {words}",
        path.display()
    );
    Diagnostic::error(Code::E0502, message).help(REMEDY)
}
