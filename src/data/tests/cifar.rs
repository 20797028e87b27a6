//! CIFAR's binary files, whole and broken.

use super::*;

/// Records of labels 0, 1, …, `classes - 1`, twice round; a pixel tells the record and the place.
fn records(classes: u8, coarse: bool) -> Vec<u8> {
    let record = |n: u8| {
        let mut bytes = if coarse { vec![n % 20] } else { Vec::new() };
        bytes.push(n % classes);
        bytes.extend((0..3072u32).map(|i| (i / 1024 * 50 + i % 1024 % 32 + u32::from(n)) as u8));
        bytes
    };
    (0..2 * classes).flat_map(record).collect()
}

/// A hundred classes' names, a line each.
fn names() -> String {
    let names: Vec<String> = (0..100).map(|n| format!("class {n}")).collect();
    names.join("\n")
}

fn ten() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let all = records(10, false);
    write(folder.path(), "data_batch_1.bin", &all[..5 * 3073]);
    write(folder.path(), "data_batch_2.bin", &all[5 * 3073..]);
    write(folder.path(), "test_batch.bin", &all[..3073]);
    folder
}

fn test(path: &Path) -> Result<Dataset, Diagnostic> {
    open(&path.to_string_lossy(), Part::Test, &Data::default(), None)
}

#[test]
fn cifar_10_is_its_batches_in_order() {
    let folder = ten();
    let set = train(folder.path(), Some(Shape::image(3, 32, 32))).unwrap();
    assert_eq!((set.len(), set.shape()), (20, Shape::image(3, 32, 32)));
    assert_eq!(set.labels()[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    assert_eq!(set.classes()[9], "9");
    let pixels = image(&set, 7);
    assert_eq!(
        (pixels[0], pixels[31], pixels[1024]),
        (7, 38, 57),
        "red, then green"
    );
    assert_eq!(test(folder.path()).unwrap().labels(), [0]);
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    write(folder.path(), "batches.meta.txt", names.as_bytes());
    let set = train(folder.path(), None).unwrap();
    assert_eq!(set.classes()[9], "truck");
    let mut other = test(folder.path()).unwrap();
    other.align(set.classes()).unwrap();
    assert_eq!(other.labels(), [0]);
    // One file alone.
    let alone = test(&folder.path().join("data_batch_2.bin")).unwrap();
    assert_eq!((alone.len(), alone.labels()[0]), (15, 5));
    fs::remove_file(folder.path().join("test_batch.bin")).unwrap();
    fails(test(folder.path()), Code::E0501, "`test_batch.bin`");
    let wrong = train(folder.path(), Some(Shape::image(1, 28, 28)));
    fails(wrong, Code::E0503, "`input 3x32x32`");
}

#[test]
fn cifar_files_may_be_gzipped_or_end_early_but_lack_none_between() {
    let plain = ten();
    let packed = tempfile::tempdir().unwrap();
    for name in ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"] {
        let bytes = fs::read(plain.path().join(name)).unwrap();
        write(packed.path(), &format!("{name}.gz"), &gzip(&bytes));
    }
    let (one, other) = (train(plain.path(), None), train(packed.path(), None));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.fingerprint().unwrap(), other.fingerprint().unwrap());
    assert_eq!(test(packed.path()).unwrap().len(), 1);
    let alone = test(&packed.path().join("data_batch_2.bin.gz")).unwrap();
    assert_eq!((alone.len(), alone.labels()[0]), (15, 5));
    // Of another name, told by its size; and one that begins as an IDX file does.
    let mut records = records(100, true);
    records[..3].copy_from_slice(&[0, 0, 8]);
    write(packed.path(), "b.bin.gz", &gzip(&records));
    let set = test(&packed.path().join("b.bin.gz")).unwrap();
    assert_eq!(set.labels()[99], 99);
    let cut = gzip(&records);
    write(packed.path(), "b.bin.gz", &cut[..cut.len() / 2]);
    let broken = test(&packed.path().join("b.bin.gz"));
    fails(broken, Code::E0502, "b.bin.gz` is broken at byte");

    fs::remove_file(packed.path().join("data_batch_2.bin.gz")).unwrap();
    assert_eq!(test(packed.path()).unwrap().len(), 1);
    write(packed.path(), "data_batch_4.bin", b"");
    let gap = fails(
        train(packed.path(), None),
        Code::E0501,
        "but not `data_batch_2.bin`",
    );
    assert!(gap.message.contains("data_batch_4.bin"), "{gap}");
}

#[test]
fn cifar_100_takes_the_fine_label() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train.bin", &records(100, true));
    write(folder.path(), "test.bin", &records(100, true)[..3074 * 30]);
    let set = train(folder.path(), None).unwrap();
    assert_eq!(
        (set.len(), set.labels()[199], set.classes().len()),
        (200, 99, 100)
    );
    assert_eq!(image(&set, 7)[0], 7);
    assert_eq!(test(folder.path()).unwrap().len(), 30);
    let names = names();
    write(folder.path(), "fine_label_names.txt", names.as_bytes());
    assert_eq!(
        train(folder.path(), None).unwrap().classes()[42],
        "class 42"
    );
    write(folder.path(), "fine_label_names.txt", b"one\n");
    fails(
        train(folder.path(), None),
        Code::E0502,
        "1 names, expected 100",
    );
}

#[test]
fn a_file_of_another_name_is_told_by_its_size() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.bin", &records(10, false));
    assert_eq!(test(&folder.path().join("a.bin")).unwrap().len(), 20);
    write(folder.path(), "b.bin", &records(100, true));
    assert_eq!(test(&folder.path().join("b.bin")).unwrap().labels()[99], 99);
    // Both sizes divide it: the names beside it decide, else it is CIFAR-10.
    let both = vec![0; 3073 * 3074];
    write(folder.path(), "both.bin", &both);
    assert_eq!(test(&folder.path().join("both.bin")).unwrap().len(), 3074);
    let names = names();
    write(folder.path(), "fine_label_names.txt", names.as_bytes());
    assert_eq!(test(&folder.path().join("both.bin")).unwrap().len(), 3073);
}

#[test]
fn broken_cifar_files_are_told_by_file_and_byte() {
    let folder = ten();
    let first = folder.path().join("data_batch_1.bin");
    let good = fs::read(&first).unwrap();
    write(folder.path(), "data_batch_1.bin", &good[..good.len() - 1]);
    let problem = fails(
        train(folder.path(), None),
        Code::E0502,
        "byte 15364: it ends within image 4",
    );
    assert!(problem.message.contains("data_batch_1.bin") && problem.message.contains("3073"));
    let mut label = good.clone();
    label[3073] = 10;
    write(folder.path(), "data_batch_1.bin", &label);
    fails(
        train(folder.path(), None),
        Code::E0502,
        "byte 3073: label 10, expected one below 10",
    );
    write(folder.path(), "data_batch_1.bin", b"");
    write(folder.path(), "data_batch_2.bin", b"");
    fails(train(folder.path(), None), Code::E0505, "holds no images");
    write(folder.path(), "data_batch_1.bin", &good[3073..2 * 3073]);
    fails(
        train(folder.path(), None),
        Code::E0505,
        "no image of class 0",
    );
    let hundred = tempfile::tempdir().unwrap();
    let mut bytes = records(100, true);
    bytes[3074 + 1] = 100;
    write(hundred.path(), "train.bin", &bytes);
    fails(
        train(hundred.path(), None),
        Code::E0502,
        "byte 3075: label 100, expected one below 100",
    );
}
