//! IDX files, whole and broken.

use super::*;

#[test]
fn idx_pairs_are_found_by_folder_and_by_file() {
    let folder = idx_folder();
    let set = train(folder.path(), None).unwrap();
    assert_eq!((set.len(), set.shape()), (4, Shape::image(1, 2, 3)));
    assert_eq!(set.labels(), [0, 1, 1, 2]);
    assert_eq!(set.classes(), ["0", "1", "2"]);
    assert_eq!(image(&set, 2), [12, 13, 14, 15, 16, 17]);
    let direct = train(&folder.path().join("train-images-idx3-ubyte"), None).unwrap();
    assert_eq!(direct.labels(), set.labels());
    fails(
        open(
            &folder.path().to_string_lossy(),
            Part::Test,
            &Data::default(),
            None,
        ),
        Code::E0501,
        "t10k-images-idx3-ubyte",
    );
}

#[test]
fn a_crop_is_cut_out_of_images_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    // Four images of 6 x 5 pixels, each pixel its row, its column and its image.
    let pixel = |i: u8| i / 30 + i % 30 / 5 * 40 + i % 5 * 4;
    let pixels: Vec<u8> = (0..120).map(pixel).collect();
    let images = idx_file(&[4, 6, 5], &pixels);
    write(folder.path(), "train-images-idx3-ubyte", &images);
    let labels = idx_file(&[4], &[0, 1, 1, 2]);
    write(folder.path(), "train-labels-idx1-ubyte", &labels);
    let with = |crop| Data {
        crop: Some(crop),
        ..Data::default()
    };
    let open = |data: &Data, input| surveyed(folder.path(), Part::Train, data, input);
    let set = open(&with(3), Some(Shape::image(1, 3, 3))).unwrap();
    assert_eq!(open(&with(3), None).unwrap().shape(), set.shape());
    let square = |top: u8, left: u8, image: u8| -> Vec<u8> {
        (0..9)
            .map(|i| (top + i / 3) * 40 + (left + i % 3) * 4 + image)
            .collect()
    };
    assert_eq!(image(&set, 2), square(1, 1, 2), "the centre");
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..200 {
        let draw = Augmentation::of(&with(3), 1).draw(step, 0);
        let mut pixels = vec![0; 9];
        let mut scratch = Scratch::default();
        set.load_varied(1, &draw, &mut scratch, &mut pixels)
            .unwrap();
        let (top, left) = (pixels[0] / 40, pixels[0] % 40 / 4);
        assert_eq!(pixels, square(top, left, 1), "one piece");
        seen.insert((top, left));
    }
    assert_eq!(seen.len(), 4 * 3, "every place: {seen:?}");
    // The mean is that of the centres.
    let mut again = set.clone();
    let of = crate::config::MeanOf::Pixel;
    let mean = again.survey(of, &Survey::of(&with(3))).unwrap();
    let means = square(1, 1, 0).into_iter().map(|at| f64::from(at) + 1.5);
    assert_eq!(mean, Mean::Pixel(means.collect()));
    // What lies outside the centre makes another set.
    let before = set.fingerprint().unwrap();
    let mut other = pixels;
    other[0] += 1;
    let images = idx_file(&[4, 6, 5], &other);
    write(folder.path(), "train-images-idx3-ubyte", &images);
    let changed = open(&with(3), None).unwrap().fingerprint().unwrap();
    assert_ne!(changed, before);

    let input = |side| Some(Shape::image(1, side, side));
    fails(open(&with(3), input(4)), Code::E0503, "write `crop = 4`");
    // What is for pictures of a folder changes nothing here.
    for data in [
        with(6),
        Data {
            resize: Some(9),
            ..with(6)
        },
    ] {
        assert_eq!(open(&data, None).unwrap().shape(), Shape::image(1, 6, 5));
    }
}

#[test]
fn half_a_pair_is_no_data_set() {
    let folder = idx_folder();
    let labels = folder.path().join("train-labels-idx1-ubyte.gz");
    fails(
        train(&labels, None),
        Code::E0501,
        "holds labels, not images",
    );
    fs::remove_file(&labels).unwrap();
    fails(
        train(folder.path(), None),
        Code::E0501,
        "no training labels",
    );
    fails(
        train(&folder.path().join("train-images-idx3-ubyte"), None),
        Code::E0501,
        "train-labels-idx1-ubyte",
    );
    write(
        folder.path(),
        "other.bin",
        &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9],
    );
    fails(
        train(&folder.path().join("other.bin"), None),
        Code::E0501,
        "as MNIST does",
    );
    write(folder.path(), "notes.txt", b"no images");
    fails(
        train(&folder.path().join("notes.txt"), None),
        Code::E0502,
        "magic number",
    );
}

#[test]
fn broken_idx_files_are_told_by_file_and_byte() {
    let pixels: Vec<u8> = (0..24).collect();
    let good = idx_file(&[4, 2, 3], &pixels);
    let mut flipped = gzip(&good);
    let end = flipped.len() - 8;
    flipped[end] ^= 1;
    let mut long = good.clone();
    long.push(0);
    let cases: [(&str, Vec<u8>, &str); 8] = [
        (
            "labels' magic",
            idx_file(&[24], &pixels),
            "byte 0: the magic number is 0x00000801, expected 0x00000803",
        ),
        (
            "truncated",
            good[..30].to_vec(),
            "byte 30: it ends there, expected 40 bytes for 4 images",
        ),
        (
            "trailing",
            long,
            "byte 40: it goes on, expected its end after 4 images",
        ),
        (
            "within the header",
            good[..9].to_vec(),
            "byte 8: it ends within its header",
        ),
        ("empty", Vec::new(), "byte 0: it ends within its header"),
        (
            "impossible",
            idx_file(&[u32::MAX, u32::MAX, u32::MAX], &[]),
            "byte 4: sizes 4294967295x",
        ),
        (
            "checksum",
            flipped,
            "corrupt gzip stream does not have a matching checksum",
        ),
        ("cut gzip", gzip(&good)[..25].to_vec(), "byte "),
    ];
    for (what, bytes, words) in cases {
        let folder = idx_folder();
        write(folder.path(), "train-images-idx3-ubyte", &bytes);
        let problem = fails(train(folder.path(), None), Code::E0502, words);
        assert!(
            problem.message.contains("train-images-idx3-ubyte"),
            "{what}: {problem}"
        );
    }
    let folder = idx_folder();
    write(
        folder.path(),
        "train-labels-idx1-ubyte",
        &idx_file(&[3], &[0, 1, 2]),
    );
    fails(
        train(folder.path(), None),
        Code::E0502,
        "byte 4: 3 labels, expected 4",
    );
    write(
        folder.path(),
        "train-labels-idx1-ubyte",
        &idx_file(&[4], &[0, 3, 1, 3]),
    );
    fails(
        train(folder.path(), None),
        Code::E0505,
        "no image of class 2",
    );
    write(
        folder.path(),
        "train-images-idx3-ubyte",
        &idx_file(&[0, 2, 3], &[]),
    );
    write(
        folder.path(),
        "train-labels-idx1-ubyte",
        &idx_file(&[0], &[]),
    );
    fails(train(folder.path(), None), Code::E0505, "no images");
}
