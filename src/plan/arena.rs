//! Places for buffers in one arena: buffers that are never alive at the same step may share bytes.

use std::ops::Range;

/// A buffer to place.
#[derive(Clone, Debug)]
pub struct Item {
    /// Bytes, a multiple of the alignment.
    pub bytes: u64,
    /// The steps `[first, last)` that it is alive for.
    pub lifetime: Range<usize>,
}

/// Whether two lifetimes share no step.
pub fn is_disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

/// The largest sum of bytes alive at one step: no arena can be smaller.
pub fn lower_bound(items: &[Item]) -> u64 {
    let steps = items
        .iter()
        .map(|item| item.lifetime.end)
        .max()
        .unwrap_or(0);
    let mut change = vec![0i128; steps + 1];
    for item in items {
        change[item.lifetime.start] += i128::from(item.bytes);
        change[item.lifetime.end] -= i128::from(item.bytes);
    }
    let mut alive = 0;
    change
        .iter()
        .map(|change| {
            alive += change;
            alive
        })
        .max()
        .unwrap_or(0) as u64
}

/// Offsets for all items, and the arena's size. Largest first, each into the lowest gap that is free for its whole
/// lifetime; then longest first; the smaller arena counts.
pub fn place(items: &[Item]) -> (Vec<u64>, u64) {
    let mut by_size: Vec<usize> = (0..items.len()).collect();
    by_size.sort_by_key(|&i| {
        (
            std::cmp::Reverse(items[i].bytes),
            items[i].lifetime.start,
            i,
        )
    });
    let mut by_length = by_size.clone();
    by_length.sort_by_key(|&i| std::cmp::Reverse(items[i].lifetime.len()));
    let mut in_time: Vec<usize> = (0..items.len()).collect();
    in_time.sort_by_key(|&i| (items[i].lifetime.start, std::cmp::Reverse(items[i].bytes)));
    let placed = [by_size, by_length, in_time]
        .into_iter()
        .map(|order| place_in(items, &order));
    placed.min_by_key(|(_, size)| *size).unwrap_or_default()
}

fn place_in(items: &[Item], order: &[usize]) -> (Vec<u64>, u64) {
    let mut offsets = vec![0; items.len()];
    // What is placed, by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(items.len());
    let mut size = 0;
    for &i in order {
        let item = &items[i];
        let mut offset = 0;
        for &other in &placed {
            if is_disjoint(&item.lifetime, &items[other].lifetime) {
                continue;
            }
            if offset + item.bytes <= offsets[other] {
                break;
            }
            offset = offset.max(offsets[other] + items[other].bytes);
        }
        offsets[i] = offset;
        size = size.max(offset + item.bytes);
        let at = placed.partition_point(|&other| offsets[other] <= offset);
        placed.insert(at, i);
    }
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: u64, lifetime: Range<usize>) -> Item {
        Item { bytes, lifetime }
    }

    #[test]
    fn items_alive_together_never_overlap_and_others_share() {
        let items = [
            item(128, 0..2),
            item(256, 1..3),
            item(128, 2..4),
            item(128, 3..5),
        ];
        let (offsets, size) = place(&items);
        for (i, a) in items.iter().enumerate() {
            for (j, b) in items.iter().enumerate().skip(i + 1) {
                let apart =
                    offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                assert!(
                    apart || is_disjoint(&a.lifetime, &b.lifetime),
                    "{i} and {j}"
                );
            }
        }
        assert_eq!(lower_bound(&items), 384);
        assert_eq!(size, 384);
    }
}
