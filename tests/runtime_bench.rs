//! Benchmarks and profiles run over the emulated driver, so that they work the day a GPU is there.

mod gpu;

use gpu::{library, loaded, shipped, tiny, with_driver};
use nvfp4gen::runtime::bench::{Bandwidth, Options, Profile, Protocol, bench, profile};

#[test]
fn every_protocol_is_timed_and_checked() {
    with_driver("every_protocol_is_timed_and_checked", &[], || {
        let set = shipped("edge.toml", "empty-among-others");
        let (device, _, kernel) = loaded(&set);
        assert!(device.is_emulated());
        assert!(
            Bandwidth::measure(&device).unwrap().is_none(),
            "an emulation has none"
        );
        let options = Options {
            data_sets: 3,
            repeats: 2,
            seed: 1,
        };
        let report = bench(&kernel, &set, options, None).unwrap();
        assert_eq!((report.checked, report.wrong), (3, 0));
        let ways = if kernel.is_programmatic() { 4 } else { 2 };
        assert_eq!(report.rows.len(), 3 * ways);
        for protocol in [Protocol::Contest, Protocol::Hot, Protocol::Cold] {
            let of_protocol = report.rows.iter().filter(|row| row.protocol == protocol);
            assert_eq!(of_protocol.count(), ways);
        }
        for row in &report.rows {
            assert!(
                row.host_ns > 0.0 && row.gpu_us >= row.gpu_us_best,
                "{row:?}"
            );
            assert_eq!((row.percent_of_light, row.percent_of_copy), (None, None));
        }
        drop(kernel);
        drop(device);
        assert!(gpu::all_live().iter().all(|(_, count)| *count == 0));
    });
}

/// In null mode nothing is executed: outputs stay as they were, which must be told from right ones.
#[test]
fn outputs_that_were_not_written_are_wrong() {
    let null = [("PTXEMU_NULL", "1")];
    with_driver("outputs_that_were_not_written_are_wrong", &null, || {
        let set = tiny();
        let (_, _, kernel) = loaded(&set);
        let options = Options {
            data_sets: 2,
            repeats: 1,
            seed: 1,
        };
        let report = bench(&kernel, &set, options, None).unwrap();
        assert_eq!((report.checked, report.wrong), (2, 2));
    });
}

#[test]
fn a_profile_times_every_step() {
    with_driver("a_profile_times_every_step", &[], || {
        let set = tiny();
        let home = library(&[&set]);
        let profile = profile(home.path(), 0, &set, 3).unwrap();
        assert!(profile.right);
        assert_eq!((profile.once.len(), profile.each.len()), (5, 3));
        for steps in [&profile.once, &profile.each] {
            let shares = Profile::shares(steps);
            let sum: f64 = shares.iter().map(|(_, _, share)| share).sum();
            assert!((sum - 100.0).abs() < 1e-6, "{shares:?}");
        }
        assert!(profile.once.iter().all(|(_, time)| *time > 0.0));
    });
}
