//! Libraries on disk: what is written, what is refused, and what readers see meanwhile.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nvfp4gen::artifact::manifest::*;
use nvfp4gen::artifact::{Listing, StoreError, Why, sha256, store};

/// A kernel whose text says which version of the library it belongs to.
fn kernel(key: &str, version: u32) -> Kernel {
    let ptx = format!("// {key}, version {version}\n").repeat(2000);
    let map = TensorMapSlot {
        offset: 0,
        group: 0,
        operand: Operand::A,
        element: "u8".into(),
        dims: vec![128, 40],
        strides: vec![128],
        tile: vec![128, 40],
        swizzle: 128,
        l2_promotion: 256,
    };
    let entry = KernelEntry {
        key: key.into(),
        name: format!("set of {key}"),
        file: format!("{key}.ptx"),
        sha256: sha256(&ptx),
        function: "grouped_gemm".into(),
        ptx_version: "8.7".into(),
        tiles: 32,
        stages: 4,
        split_k: 1,
        tensor_memory_columns: 512,
        sizes: Sizes {
            m: vec![40],
            n: vec![4096],
            k: vec![256],
            output: "f16".into(),
            weights: "dynamic".into(),
        },
        launch: LaunchShape {
            grid: [32, 1, 1],
            block: [192, 1, 1],
            cluster: [1, 1, 1],
            dynamic_shared: 200_000,
        },
        schedule: ScheduleFacts::default(),
        parameters: ParameterBlock {
            location: Location::Parameter,
            bytes: 144,
            alignment: 64,
            workspace_bytes: 0,
            workspace_offset: 0,
            tensor_maps: vec![map],
            pointers: vec![
                PointerSlot {
                    offset: 128,
                    group: 0,
                    operand: Operand::Sfa,
                },
                PointerSlot {
                    offset: 136,
                    group: 0,
                    operand: Operand::C,
                },
            ],
        },
    };
    Kernel {
        entry,
        ptx,
        cubin: None,
    }
}

fn library(version: u32) -> Vec<Kernel> {
    ["p1", "p2", "p3"].map(|key| kernel(key, version)).into()
}

fn written() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("generated").join("sm_100a");
    store::write(&directory, "sm_100a", &library(1)).unwrap();
    (home, directory)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn manifest_text() {
    let (_home, directory) = written();
    let text = fs::read_to_string(directory.join("manifest.toml")).unwrap();
    let first_kernel = text
        .split("\n[[kernel]]")
        .take(2)
        .collect::<Vec<_>>()
        .join("\n[[kernel]]");
    insta::assert_snapshot!(first_kernel);
}

#[test]
fn what_is_written_is_read() {
    let (home, directory) = written();
    let (manifest, kernels) = store::read(&directory).unwrap();
    assert_eq!(manifest.target, "sm_100a");
    assert_eq!(kernels, library(1));
    assert_eq!(
        names(&directory),
        ["manifest.toml", "p1.ptx", "p2.ptx", "p3.ptx"]
    );
    assert_eq!(
        names(&home.path().join("generated")),
        ["sm_100a"],
        "no temporary file stays behind"
    );
}

/// The same library, assembled.
fn assembled(version: u32) -> Vec<Kernel> {
    let mut kernels = library(version);
    for kernel in &mut kernels {
        kernel.cubin = Some(format!("code of {}", kernel.ptx).into_bytes());
    }
    kernels
}

#[test]
fn machine_code_has_a_list_of_its_own() {
    let (_home, directory) = written();
    let manifest = fs::read(directory.join("manifest.toml")).unwrap();
    store::write(&directory, "sm_100a", &assembled(1)).unwrap();
    assert_eq!(fs::read(directory.join("manifest.toml")).unwrap(), manifest);
    assert_eq!(names(&directory).len(), 8);
    assert_eq!(store::read(&directory).unwrap().1, assembled(1));
    let listing = Listing::read(&directory).unwrap();
    for (entry, kernel) in listing.kernels().iter().zip(assembled(1)) {
        let cubin = listing.cubin(entry).unwrap();
        assert_eq!(listing.read_cubin(cubin).ok(), kernel.cubin);
        assert_eq!(listing.read_ptx(entry).unwrap(), kernel.ptx);
    }
    // With or without, the library is what the shapes give.
    for kernels in [library(1), assembled(1)] {
        assert_eq!(store::check(&directory, "sm_100a", &kernels).unwrap(), []);
        store::write(&directory, "sm_100a", &kernels).unwrap();
        assert_eq!(store::read(&directory).unwrap().1, assembled(1));
    }
}

#[test]
fn machine_code_of_other_text_is_not_read() {
    let (_home, directory) = written();
    store::write(&directory, "sm_100a", &assembled(1)).unwrap();
    let [list, code] =
        ["cubins.toml", "p1.cubin"].map(|name| fs::read(directory.join(name)).unwrap());
    store::write(&directory, "sm_100a", &library(2)).unwrap();
    // As a checkout does: the text is new, what version control ignores stays.
    fs::write(directory.join("cubins.toml"), list).unwrap();
    fs::write(directory.join("p1.cubin"), code).unwrap();
    assert_eq!(store::read(&directory).unwrap().1, library(2));
    let listing = Listing::read(&directory).unwrap();
    assert!(
        listing
            .kernels()
            .iter()
            .all(|entry| listing.cubin(entry).is_none())
    );
    assert_eq!(
        store::check(&directory, "sm_100a", &library(2)).unwrap(),
        []
    );
    // And the next build replaces it.
    store::write(&directory, "sm_100a", &assembled(2)).unwrap();
    assert_eq!(store::read(&directory).unwrap().1, assembled(2));
}

#[test]
fn damaged_machine_code_is_an_error_and_missing_is_none() {
    let (_home, directory) = written();
    store::write(&directory, "sm_100a", &assembled(1)).unwrap();
    fs::write(directory.join("p2.cubin"), "code").unwrap();
    let error = store::read(&directory).unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupted { key, bytes: 4, .. } if key == "p2"),
        "{error}"
    );
    fs::remove_file(directory.join("p2.cubin")).unwrap();
    assert_eq!(store::read(&directory).unwrap().1[1].cubin, None);
    let list = directory.join("cubins.toml");
    let whole = fs::read(&list).unwrap();
    for length in 0..whole.len() {
        fs::write(&list, &whole[..length]).unwrap();
        for error in [
            store::read(&directory).err(),
            Listing::read(&directory).err(),
        ] {
            let refused =
                matches!(&error, Some(StoreError::Manifest { path, .. }) if *path == list);
            assert!(refused, "{length} bytes: {error:?}");
        }
    }
    // Our own damage is repaired, somebody else's file is not replaced.
    fs::write(&list, &whole[..200]).unwrap();
    store::write(&directory, "sm_100a", &assembled(2)).unwrap();
    fs::write(&list, "mine").unwrap();
    let error = store::write(&directory, "sm_100a", &assembled(1)).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn an_empty_library_is_a_library() {
    let home = tempfile::tempdir().unwrap();
    store::write(home.path(), "sm_100a", &[]).unwrap();
    assert_eq!(store::read(home.path()).unwrap().1, []);
}

#[test]
fn repeated_builds_touch_nothing() {
    let (_home, directory) = written();
    let before = fs::metadata(&directory).unwrap();
    store::write(&directory, "sm_100a", &library(1)).unwrap();
    let after = fs::metadata(&directory).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
}

#[test]
fn check_names_every_difference() {
    let (_home, directory) = written();
    assert_eq!(
        store::check(&directory, "sm_100a", &library(1)).unwrap(),
        []
    );
    fs::write(directory.join("p1.ptx"), "// edited").unwrap();
    fs::remove_file(directory.join("p2.ptx")).unwrap();
    fs::write(directory.join("notes.txt"), "mine").unwrap();
    let wanted = [kernel("p1", 1), kernel("p2", 1)];
    let found: Vec<(String, Why)> = store::check(&directory, "sm_100a", &wanted)
        .unwrap()
        .into_iter()
        .map(|stale| (stale.name, stale.why))
        .collect();
    let expected = [
        ("manifest.toml", Why::Changed),
        ("notes.txt", Why::Foreign),
        ("p1.ptx", Why::Changed),
        ("p2.ptx", Why::Missing),
        ("p3.ptx", Why::Unexpected),
    ];
    assert_eq!(found, expected.map(|(name, why)| (name.to_owned(), why)));
}

#[test]
fn check_of_nothing_misses_everything() {
    let home = tempfile::tempdir().unwrap();
    let stale = store::check(&home.path().join("sm_100a"), "sm_100a", &library(1)).unwrap();
    assert_eq!(stale.len(), 4);
    assert!(stale.iter().all(|stale| stale.why == Why::Missing));
}

#[test]
fn damaged_kernels_are_told_from_missing_ones() {
    let (_home, directory) = written();
    let whole = fs::read(directory.join("p2.ptx")).unwrap();
    for damage in [
        whole[..whole.len() - 1].to_vec(),
        vec![],
        vec![0xff; whole.len()],
        [&whole[..], b"\n"].concat(),
    ] {
        fs::write(directory.join("p2.ptx"), &damage).unwrap();
        let error = store::read(&directory).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupted { key, bytes, .. } if key == "p2" && *bytes == damage.len())
        );
    }
    fs::remove_file(directory.join("p2.ptx")).unwrap();
    let error = store::read(&directory).unwrap_err();
    assert!(
        matches!(&error, StoreError::Missing { key, .. } if key == "p2"),
        "{error}"
    );
}

#[test]
fn a_manifest_cut_anywhere_is_refused() {
    let (_home, directory) = written();
    let path = directory.join("manifest.toml");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = store::read(&directory).unwrap_err();
        assert!(
            matches!(error, StoreError::Manifest { .. }),
            "{length} bytes: {error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    store::read(&directory).unwrap();
}

#[test]
fn other_formats_and_escaping_names_are_refused() {
    let (_home, directory) = written();
    let path = directory.join("manifest.toml");
    let whole = fs::read_to_string(&path).unwrap();
    let (first, body) = whole.split_once('\n').unwrap();
    let mark = &first[..first.len() - 64];
    let message = |body: String| {
        fs::write(&path, format!("{mark}{}\n{body}", sha256(&body))).unwrap();
        store::read(&directory).unwrap_err().to_string()
    };
    assert!(
        message(body.replace("format = 1", "format = 2"))
            .contains("format 2, and this nvfp4gen reads format 1")
    );
    assert!(
        message(body.replace("\"p1.ptx\"", "\"../p1.ptx\"")).contains("not a plain .ptx file name")
    );
    assert!(
        message(body.replace("\"p1.ptx\"", "\"p2.ptx\""))
            .contains("two kernels have the file p2.ptx")
    );
    assert!(
        message(body.replace("stages = 4", "stages = 4\nextra = 1"))
            .contains("unknown field `extra`")
    );
    assert!(message(body.replace("stages = 4\n", "")).contains("missing field `stages`"));
}

#[test]
fn somebody_elses_files_are_never_replaced() {
    for name in ["thesis.tex", "manifest.toml", ".gitignore", "p9.ptx"] {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(name), "years of work").unwrap();
        let error = store::write(home.path(), "sm_100a", &library(1)).unwrap_err();
        assert!(
            matches!(&error, StoreError::Foreign { name: found, .. } if found == name),
            "{error}"
        );
        assert_eq!(names(home.path()), [name]);
    }
    let (_home, directory) = written();
    fs::create_dir(directory.join("mine")).unwrap();
    let error = store::write(&directory, "sm_100a", &library(2)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`mine`, which nvfp4gen did not write"),
        "{error}"
    );
    assert!(matches!(
        store::read(&directory),
        Err(StoreError::Foreign { .. })
    ));
}

#[test]
fn our_own_damage_is_repaired() {
    let (_home, directory) = written();
    let path = directory.join("manifest.toml");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..300]).unwrap();
    fs::write(directory.join("p1.ptx"), "").unwrap();
    store::write(&directory, "sm_100a", &library(2)).unwrap();
    assert_eq!(store::read(&directory).unwrap().1, library(2));
}

#[test]
fn a_file_in_the_way_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sm_100a");
    fs::write(&path, "a file").unwrap();
    assert!(matches!(
        store::write(&path, "sm_100a", &library(1)),
        Err(StoreError::Io { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), b"a file");
    assert!(matches!(
        store::read(&home.path().join("nowhere")),
        Err(StoreError::Absent(_))
    ));
}

#[test]
fn a_linked_directory_keeps_its_link() {
    let (home, directory) = written();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    store::write(&link, "sm_100a", &library(2)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(store::read(&directory).unwrap().1, library(2));
}

#[test]
fn two_kernels_cannot_share_a_key() {
    let home = tempfile::tempdir().unwrap();
    let error =
        store::write(home.path(), "sm_100a", &[kernel("p1", 1), kernel("p1", 2)]).unwrap_err();
    assert_eq!(error.to_string(), "two kernels have the key p1");
}

/// Three writers and two readers on one directory: every read is whole and of one version.
#[test]
fn readers_see_one_version_whole() {
    let (home, directory) = written();
    let done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let (_, kernels) = store::read(&directory).unwrap();
                        let first_line = kernels[0].ptx.lines().next().unwrap();
                        let version = first_line.rsplit(' ').next().unwrap().parse().unwrap();
                        assert_eq!(kernels, library(version));
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let directory = &directory;
                scope.spawn(move || {
                    for round in 0..20 {
                        store::write(directory, "sm_100a", &library(1 + writer * 20 + round))
                            .unwrap();
                    }
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum::<usize>()
    });
    assert!(reads > 10, "only {reads} reads");
    assert_eq!(
        names(&home.path().join("generated")),
        ["sm_100a"],
        "no temporary file stays behind"
    );
}

/// What a killed writer left is removed, but not what a living one is writing.
#[test]
fn old_leftovers_are_swept() {
    let (home, directory) = written();
    let parent = home.path().join("generated");
    for name in [
        ".sm_100a.partial-old",
        ".sm_100a.partial-new",
        ".sm_103a.partial-old",
    ] {
        fs::create_dir(parent.join(name)).unwrap();
        fs::write(parent.join(name).join("half.ptx"), "ha").unwrap();
    }
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for name in [".sm_100a.partial-old", ".sm_103a.partial-old"] {
        fs::File::open(parent.join(name))
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    }
    store::write(&directory, "sm_100a", &library(2)).unwrap();
    assert_eq!(
        names(&parent),
        [".sm_100a.partial-new", ".sm_103a.partial-old", "sm_100a"]
    );
}
