//! JPEG files: whether they are whole, and the short way to their pixels.
//!
//! Owns: the walk over a file's markers (ITU-T T.81, annex B), and decoding into a buffer that is used again. The decoder
//! takes a file that was cut off as if the rest were grey; a training must not learn that, so pictures are walked through
//! before they are decoded. What is not plain colour or grey is left to crate image.

use memchr::memchr;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// The end-of-image marker, the last bytes of nearly every whole file.
pub(super) const END: [u8; 2] = [0xFF, 0xD9];

/// Crate image's limit of a decoded picture, in bytes.
const LARGEST: usize = 512 << 20;

/// Decodes colours for three channels, and grey, into `[height, width, channels]`, and gives height and width; the same
/// pixels as crate image's, which has the same decoder. Nothing where the file is of another kind or broken: crate
/// image knows what to do or to say.
pub(super) fn decode(bytes: &[u8], channels: usize, out: &mut Vec<u8>) -> Option<(usize, usize)> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().ok()?;
    let space = match (decoder.input_colorspace()?, channels) {
        (ColorSpace::YCbCr | ColorSpace::RGB, 3) => ColorSpace::RGB,
        (ColorSpace::Luma, _) => ColorSpace::Luma,
        _ => return None,
    };
    let options = decoder.options().jpeg_set_out_colorspace(space);
    decoder.set_options(options);
    let (width, height) = decoder.dimensions()?;
    let size = decoder.output_buffer_size()?;
    if size > LARGEST || size != height * width * space.num_components() {
        return None;
    }
    out.resize(size, 0);
    decoder.decode_into(out).ok()?;
    Some((height, width))
}

/// The byte where a JPEG file ends too early, that is without its end-of-image marker; `None` where it is whole.
pub(super) fn cut_off(bytes: &[u8]) -> Option<usize> {
    let end = Some(bytes.len());
    let mut at = 2;
    loop {
        // To the next marker: 0xFF and a byte that is neither stuffing (0) nor a restart within a scan nor filling.
        let Some(skipped) = bytes.get(at..).and_then(marker) else {
            return end;
        };
        at += skipped + 2;
        if bytes[at - 1] == 0xD9 {
            return None;
        }
        // A segment: its length counts itself but not the marker. Entropy-coded data after a scan's header is walked
        // over by the search above.
        let Some(length) = bytes.get(at..at + 2) else {
            return end;
        };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
        if at > bytes.len() {
            return end;
        }
    }
}

/// Where the next marker begins.
fn marker(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(0xFF, &bytes[from..])?;
        if !matches!(bytes.get(at + 1)?, 0x00 | 0x01 | 0xD0..=0xD8 | 0xFF) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_only_with_its_end() {
        // Start, a comment that holds an end marker, a scan with a stuffed 0xFF and a restart, the end.
        let whole = [
            0xFF, 0xD8, 0xFF, 0xFE, 0, 4, 0xFF, 0xD9, 0xFF, 0xDA, 0, 2, 1, 0xFF, 0, 2, 0xFF, 0xD0,
            3, 0xFF, 0xD9,
        ];
        assert_eq!(cut_off(&whole), None);
        for end in 2..whole.len() {
            assert_eq!(cut_off(&whole[..end]), Some(end), "cut at {end}");
        }
        let mut trailing = whole.to_vec();
        trailing.extend([1, 2, 3]);
        assert_eq!(
            cut_off(&trailing),
            None,
            "what follows the end is no matter"
        );
    }
}
