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
