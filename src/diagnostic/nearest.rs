//! Did you mean: the nearest of the words that would have been right.

/// The candidate nearest to `word`, where one is near enough to be a likely slip of the fingers: at most one edit in
/// three characters by the Damerau-Levenshtein distance, or the same letters in another case.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let length = word.chars().count();
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            // Each character too many is an edit.
            if length.abs_diff(other) > allowed.min(other) {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance <= allowed && distance < other).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A list for people: `a`, `b` or `c`.
pub fn one_of<'a>(candidates: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    match all.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_slips_and_nothing_far_fetched() {
        let words = ["kernel", "stride", "pad", "groups"];
        assert_eq!(nearest("krenel", words), Some("kernel"));
        assert_eq!(nearest("Stride", words), Some("stride"));
        assert_eq!(nearest("dilation", words), None);
        assert_eq!(nearest("C", ["P", "N"]), None);
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
