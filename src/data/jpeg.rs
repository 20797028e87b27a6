//! Whether a JPEG file is whole.
//!
//! Owns: the walk over a file's markers (ITU-T T.81, annex B). Crate image decodes a file that was cut off as if the rest
//! were grey; a training must not learn that, so pictures are walked through before they are decoded.

/// The byte where a JPEG file ends too early, that is without its end-of-image marker; `None` where it is whole.
pub(super) fn cut_off(bytes: &[u8]) -> Option<usize> {
    let end = Some(bytes.len());
    let mut at = 2;
    loop {
        // To the next marker: 0xFF and a byte that is neither stuffing (0) nor a restart within a scan nor filling.
        let found = bytes.get(at..)?.windows(2).position(|pair| {
            pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xD0..=0xD8 | 0xFF)
        });
        let Some(skipped) = found else { return end };
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
