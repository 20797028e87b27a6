//! PNG files: whether they are whole.
//!
//! Owns: the walk over a file's chunks (PNG specification, section 5). A decoder notices that a file was cut off only as it
//! comes there; a test set is to be known as broken before the first step. Decoding is left to crate image.

/// The last chunk of every whole file: it is empty, and its checksum always the same.
pub(super) const END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// The byte where a PNG file ends too early, that is without its last chunk; `None` where it is whole.
pub(super) fn cut_off(bytes: &[u8]) -> Option<usize> {
    // After the signature: a length, the kind, so many bytes, a checksum.
    let mut at = 8;
    loop {
        let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= END.len()) else {
            return Some(bytes.len());
        };
        if rest[4..8] == *b"IEND" {
            return None;
        }
        let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]);
        at += END.len() + length as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_only_with_its_last_chunk() {
        // The signature, a chunk that holds the name of the last one, the last one.
        let mut whole = b"\x89PNG\r\n\x1A\n\0\0\0\x04tEXtIEND----".to_vec();
        whole.extend(END);
        assert_eq!(cut_off(&whole), None);
        for end in 0..whole.len() {
            assert_eq!(cut_off(&whole[..end]), Some(end), "cut at {end}");
        }
        whole.extend([1, 2, 3]);
        assert_eq!(cut_off(&whole), None, "what follows the end is no matter");
        // A length that is not true.
        whole[8..12].fill(0xFF);
        assert_eq!(cut_off(&whole), Some(whole.len()));
    }
}
