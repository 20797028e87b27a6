//! Places for buffers in one arena: buffers that are never alive at the same step may share bytes.
//!
//! Dynamic storage allocation, which is NP-complete (Garey and Johnson 1979, SR2). What a packing can be measured by is
//! the [lower bound](lower_bound); [`place`] tries several orders, each buffer going to the best place that is left, and
//! then mends the best of them: what sticks out at the top goes first the next time. It ends at the lower bound, which
//! most networks reach at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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

/// One past the last step.
fn steps(items: &[Item]) -> usize {
    let ends = items.iter().map(|item| item.lifetime.end);
    ends.max().unwrap_or(0)
}

/// The first of the steps at which most bytes are alive, and how many, of buffers with these bytes and lifetimes.
pub fn most_alive<'a>(
    buffers: impl Iterator<Item = (u64, &'a Range<usize>)>,
    steps: usize,
) -> (usize, u64) {
    let mut change = vec![0i128; steps + 1];
    for (bytes, lifetime) in buffers.filter(|(_, lifetime)| !lifetime.is_empty()) {
        change[lifetime.start] += i128::from(bytes);
        change[lifetime.end] -= i128::from(bytes);
    }
    let (mut alive, mut most) = (0i128, (0, 0i128));
    for (step, change) in change.iter().enumerate() {
        alive += change;
        if alive > most.1 {
            most = (step, alive);
        }
    }
    (most.0, most.1 as u64)
}

/// The largest sum of bytes alive at one step: no arena can be smaller.
pub fn lower_bound(items: &[Item]) -> u64 {
    let buffers = items.iter().map(|item| (item.bytes, &item.lifetime));
    most_alive(buffers, steps(items)).1
}

/// Offsets of all items, and the arena's size.
type Packing = (Vec<u64>, u64);

/// Up to so many items are placed in orders that are not time's, which takes the square of their number.
const FEW: usize = 3_000;

/// More items than that are placed by size only where their lives together have so few steps.
const LIVES: usize = 1_000_000;

/// How often a long plan is mended.
const SHORT_ROUNDS: usize = 6;

/// How much work is put into mending a packing: pairs of items looked at.
const EFFORT: usize = 60_000_000;

/// Offsets for all items, and the arena's size, where the largest allocation is `region` bytes, a multiple of the
/// alignment: a larger arena is several allocations, one after another, and no item lies across two of them. (An item that
/// is larger than a region lies across all the same: such a plan fits no device.) The same items give the same offsets.
pub fn place(items: &[Item], region: u64) -> (Vec<u64>, u64) {
    let best = place_whole(items);
    if best.1 <= region || items.iter().any(|item| item.bytes > region) {
        return best;
    }
    let mut in_time: Vec<usize> = (0..items.len()).collect();
    in_time.sort_by_key(|&i| (items[i].lifetime.start, Reverse(items[i].lifetime.end), i));
    let mut by_size = in_time.clone();
    by_size.sort_by_key(|&i| Reverse(items[i].bytes));
    let orders = [in_time, by_size];
    let packings = orders.iter().map(|order| place_in(items, order, region));
    packings.min_by_key(|packing| packing.1).unwrap_or(best)
}

/// [`place`] in one allocation.
fn place_whole(items: &[Item]) -> Packing {
    let bound = lower_bound(items);
    let mut best: Packing = sweep(items, false);
    let mut keep = |packing: Packing| {
        if packing.1 < best.1 {
            best = packing;
        }
        best.1 == bound
    };
    if keep(sweep(items, true)) {
        return best;
    }
    let mut by_size: Vec<usize> = (0..items.len()).collect();
    by_size.sort_by_key(|&i| (Reverse(items[i].bytes), items[i].lifetime.start, i));
    if items.len() > FEW {
        // Long plans of short lives (inference of a deep network) can still be placed by size.
        let lives: usize = items.iter().map(|item| item.lifetime.len()).sum();
        if lives <= LIVES {
            mend(items, by_size, SHORT_ROUNDS, place_short, &mut keep);
        }
        return best;
    }
    let mut by_length = by_size.clone();
    by_length.sort_by_key(|&i| Reverse(items[i].lifetime.len()));
    let mut by_area = by_size.clone();
    by_area.sort_by_key(|&i| Reverse(u128::from(items[i].bytes) * items[i].lifetime.len() as u128));
    // How much is alive at an item's fullest step: what is alive where it is tight comes first.
    let alive = fullest(items);
    let mut by_need = by_size.clone();
    by_need.sort_by_key(|&i| Reverse(alive[i]));
    let rounds = EFFORT / (items.len() * items.len()).max(1) / 4;
    let in_order = |items: &[Item], order: &[usize]| place_in(items, order, u64::MAX);
    for order in [by_size, by_need, by_area, by_length] {
        if mend(items, order, rounds.clamp(4, 400), in_order, &mut keep) {
            break;
        }
    }
    best
}

/// Places items in an order, again and again: what sticks out at the top goes first the next time. Every packing goes to
/// `keep`, which says whether it is as good as can be; so does this.
fn mend(
    items: &[Item],
    mut order: Vec<usize>,
    rounds: usize,
    place: impl Fn(&[Item], &[usize]) -> Packing,
    keep: &mut impl FnMut(Packing) -> bool,
) -> bool {
    for _ in 0..=rounds {
        let (offsets, size) = place(items, &order);
        let is_top = |i: usize| offsets[i] + items[i].bytes == size;
        let (mut next, rest): (Vec<usize>, Vec<usize>) = order.iter().partition(|&&i| is_top(i));
        // Where nothing moves, nothing will.
        let stays = order.starts_with(&next);
        next.extend(rest);
        if keep((offsets, size)) {
            return true;
        }
        if stays {
            return false;
        }
        order = next;
    }
    false
}

/// [`place_in`] for items of short lives: what an item meets is looked up step by step.
fn place_short(items: &[Item], order: &[usize]) -> Packing {
    // Room for the items of each step, one step after another.
    let mut rooms = vec![0u32; steps(items) + 1];
    for item in items {
        rooms[item.lifetime.clone()]
            .iter_mut()
            .for_each(|count| *count += 1);
    }
    let mut sum = 0;
    for room in &mut rooms {
        sum += std::mem::replace(room, sum);
    }
    let mut alive = vec![0u32; sum as usize];
    let mut counts = vec![0u32; rooms.len()];
    let (mut offsets, mut size, mut met) = (vec![0; items.len()], 0, Vec::new());
    for &i in order {
        let item = &items[i];
        met.clear();
        for step in item.lifetime.clone() {
            let at = rooms[step] as usize;
            met.extend_from_slice(&alive[at..at + counts[step] as usize]);
        }
        met.sort_unstable_by_key(|&other| offsets[other as usize]);
        let mut offset = 0;
        for &other in &met {
            let other = other as usize;
            if offset + item.bytes <= offsets[other] {
                break;
            }
            offset = offset.max(offsets[other] + items[other].bytes);
        }
        offsets[i] = offset;
        size = size.max(offset + item.bytes);
        for step in item.lifetime.clone() {
            alive[(rooms[step] + counts[step]) as usize] = i as u32;
            counts[step] += 1;
        }
    }
    (offsets, size)
}

/// The largest sum of bytes alive at a step of each item's lifetime.
fn fullest(items: &[Item]) -> Vec<u64> {
    let mut sums = vec![0u64; steps(items)];
    for item in items {
        for sum in &mut sums[item.lifetime.clone()] {
            *sum += item.bytes;
        }
    }
    let most = |item: &Item| sums[item.lifetime.clone()].iter().max().copied();
    items.iter().map(|item| most(item).unwrap_or(0)).collect()
}

/// Places items in an order, each into the lowest gap that is free for its whole lifetime and lies in one region.
fn place_in(items: &[Item], order: &[usize], region: u64) -> Packing {
    let inside = |offset: u64, bytes: u64| {
        if offset % region + bytes > region {
            offset.next_multiple_of(region)
        } else {
            offset
        }
    };
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
            offset = inside(offset.max(offsets[other] + items[other].bytes), item.bytes);
        }
        offsets[i] = offset;
        size = size.max(offset + item.bytes);
        let at = placed.partition_point(|&other| offsets[other] <= offset);
        placed.insert(at, i);
    }
    (offsets, size)
}

/// Goes through time, or back through it: what ends frees its bytes, what begins takes the smallest gap that holds it.
fn sweep(items: &[Item], back: bool) -> Packing {
    let flipped = |lifetime: &Range<usize>| usize::MAX - lifetime.end..usize::MAX - lifetime.start;
    let lifetime = |i: usize| {
        let lifetime = &items[i].lifetime;
        if back {
            flipped(lifetime)
        } else {
            lifetime.clone()
        }
    };
    let (begin, end) = (|i: usize| lifetime(i).start, |i: usize| lifetime(i).end);
    let mut begins: Vec<usize> = (0..items.len()).collect();
    let mut ends = begins.clone();
    // What lives long lies deep.
    begins.sort_by_key(|&i| (begin(i), Reverse(end(i)), Reverse(items[i].bytes), i));
    ends.sort_by_key(|&i| end(i));
    let mut ends = ends.into_iter().peekable();
    let mut gaps = Gaps::default();
    let mut offsets = vec![0; items.len()];
    for i in begins {
        while let Some(over) = ends.next_if(|&over| end(over) <= begin(i)) {
            gaps.free(offsets[over], items[over].bytes);
        }
        offsets[i] = gaps.take(items[i].bytes);
    }
    (offsets, gaps.size)
}

/// What is free below the arena's end.
#[derive(Debug, Default)]
struct Gaps {
    /// Bytes by offset.
    by_offset: BTreeMap<u64, u64>,
    /// Bytes, offset.
    by_size: BTreeSet<(u64, u64)>,
    /// The arena's size.
    size: u64,
}

impl Gaps {
    fn add(&mut self, offset: u64, bytes: u64) {
        self.by_offset.insert(offset, bytes);
        self.by_size.insert((bytes, offset));
    }

    fn remove(&mut self, offset: u64, bytes: u64) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(bytes, offset));
    }

    /// Takes the smallest gap that is large enough; where none is, the arena grows, from the gap at its end if there is
    /// one.
    fn take(&mut self, bytes: u64) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let fits = self.by_size.range((bytes, 0)..).next().copied();
        if let Some((gap, offset)) = fits {
            self.remove(offset, gap);
            if gap > bytes {
                self.add(offset + bytes, gap - bytes);
            }
            return offset;
        }
        let last = self
            .by_offset
            .last_key_value()
            .map(|(&offset, &gap)| (offset, gap));
        let offset = match last {
            Some((offset, gap)) if offset + gap == self.size => {
                self.remove(offset, gap);
                offset
            }
            _ => self.size,
        };
        self.size = offset + bytes;
        offset
    }

    /// Gives bytes back, joined with the gaps beside them.
    fn free(&mut self, mut offset: u64, mut bytes: u64) {
        if bytes == 0 {
            return;
        }
        let before = self.by_offset.range(..offset).next_back();
        if let Some((start, gap)) = before.map(|(&start, &gap)| (start, gap))
            && start + gap == offset
        {
            self.remove(start, gap);
            (offset, bytes) = (start, bytes + gap);
        }
        if let Some(&gap) = self.by_offset.get(&(offset + bytes)) {
            self.remove(offset + bytes, gap);
            bytes += gap;
        }
        self.add(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};
    use rand::RngExt;

    fn item(bytes: u64, lifetime: Range<usize>) -> Item {
        Item { bytes, lifetime }
    }

    #[track_caller]
    fn sound(items: &[Item], (offsets, size): &Packing) {
        for (i, a) in items.iter().enumerate() {
            assert!(offsets[i] + a.bytes <= *size, "{i} sticks out");
            for (j, b) in items.iter().enumerate().skip(i + 1) {
                let apart =
                    offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                assert!(
                    apart || is_disjoint(&a.lifetime, &b.lifetime),
                    "{i} and {j}"
                );
            }
        }
        assert!(*size >= lower_bound(items));
    }

    #[test]
    fn items_alive_together_never_overlap_and_others_share() {
        let items = [
            item(128, 0..2),
            item(256, 1..3),
            item(128, 2..4),
            item(128, 3..5),
        ];
        assert_eq!(lower_bound(&items), 384);
        let packing = place(&items, u64::MAX);
        sound(&items, &packing);
        assert_eq!(packing.1, 384);
    }

    #[test]
    fn no_item_lies_across_two_allocations() {
        let mut random = Stream::new(2, Purpose::Dropout, 0, 0);
        let mut several = 0;
        for _ in 0..300 {
            let items: Vec<Item> = (0..30)
                .map(|_| {
                    let start = random.random_range(0..30);
                    item(
                        128 * random.random_range(0..20),
                        start..start + random.random_range(1..15),
                    )
                })
                .collect();
            let region = 128 * random.random_range(20..100);
            let packing = place(&items, region);
            sound(&items, &packing);
            for (offset, item) in packing.0.iter().zip(&items) {
                assert!(offset % region + item.bytes <= region);
            }
            several += usize::from(packing.1 > region);
        }
        assert!(several > 50, "{several}");
    }

    #[test]
    fn every_way_of_packing_is_sound() {
        let mut random = Stream::new(1, Purpose::Dropout, 0, 0);
        for _ in 0..300 {
            let count = random.random_range(0..40);
            let items: Vec<Item> = (0..count)
                .map(|_| {
                    let start = random.random_range(0..30);
                    let end = start + random.random_range(1..15);
                    item(128 * random.random_range(0..20), start..end)
                })
                .collect();
            for packing in [
                place(&items, u64::MAX),
                sweep(&items, false),
                sweep(&items, true),
                place_in(&items, &(0..count as usize).collect::<Vec<_>>(), u64::MAX),
                place_short(&items, &(0..count as usize).collect::<Vec<_>>()),
            ] {
                sound(&items, &packing);
            }
        }
    }
}
