//! Images held back for validation.

use super::*;

#[test]
fn a_split_is_even_over_the_classes_disjoint_and_follows_the_seed() {
    let set = open("fashion-mini", Part::Train, &Data::default(), None).unwrap();
    let (rest, held) = set.split(0.1, 1).unwrap();
    assert_eq!(
        (counts(&rest), counts(&held)),
        (vec![180; 10], vec![20; 10])
    );
    let places = |set: &Dataset| -> Vec<usize> { (0..set.len()).map(|i| set.place(i)).collect() };
    let mut all = [places(&rest), places(&held)].concat();
    all.sort_unstable();
    assert_eq!(
        all,
        (0..2000).collect::<Vec<_>>(),
        "each image in one of them"
    );
    for part in [&rest, &held] {
        assert!(places(part).is_sorted(), "in the set's order");
        for index in [0, part.len() - 1] {
            assert_eq!(image(part, index), image(&set, part.place(index)));
            assert_eq!(part.labels()[index], set.labels()[part.place(index)]);
        }
    }
    assert_eq!(places(&set.split(0.1, 1).unwrap().1), places(&held));
    assert_ne!(places(&set.split(0.1, 2).unwrap().1), places(&held));
    assert_ne!(held.fingerprint().unwrap(), rest.fingerprint().unwrap());
    // A part of a part is a part of the whole.
    let (_, less) = held.split(0.5, 3).unwrap();
    assert!(
        places(&less)
            .iter()
            .all(|place| places(&held).contains(place))
    );
}

#[test]
fn small_classes_give_one_and_keep_one() {
    let folder = idx_folder();
    let set = train(folder.path(), None).unwrap();
    let (rest, held) = set.split(0.01, 1).unwrap();
    assert_eq!(
        (counts(&rest), counts(&held)),
        (vec![1, 1, 1], vec![0, 1, 0])
    );
    let none = set.split(0.9, 1);
    fails(none.map(|(rest, _)| rest), Code::E0505, "class `0`");
    fails(
        set.split(0.0, 1).map(|(rest, _)| rest),
        Code::E0505,
        "holds back no image",
    );
}
