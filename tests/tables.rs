//! The price of addresses that do not fit a kernel's parameters, and what it does to the choice.

mod variants;

use nvfp4gen::artifact::Location;
use nvfp4gen::choose;
use nvfp4gen::model::{B200, Workload, price};
use nvfp4gen::plan::Plan;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{Choices, plan};
use nvfp4gen::plan::target::{SM_90A, SM_100A};
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::problem::Set;
use variants::{alone, planned, uniform};

/// Decode of one token for each of many experts.
fn crowd(groups: usize, m: u32) -> Set {
    uniform("crowd", &vec![m; groups], 256, 512)
}

fn location(plan: &Plan) -> Location {
    plan.parameters.location
}

#[test]
fn a_table_costs_an_upload_and_the_overlap() {
    let of = |groups| planned(&crowd(groups, 1), &alone());
    let (fits, exceeds) = (of(117), of(118));
    assert_eq!(location(&fits), Location::Parameter);
    assert_eq!(location(&exceeds), Location::Device);
    let fits = Workload::from(&fits);
    let exceeds = Workload::from(&exceeds);
    assert!(!fits.kernel.uploads && fits.kernel.programmatic.is_some());
    assert!(exceeds.kernel.uploads && exceeds.kernel.programmatic.is_none());
    let mut free = exceeds.clone();
    free.kernel.uploads = false;
    let [paid, free] = [&exceeds, &free].map(|w| price(w, &B200));
    let upload = paid.total_us - free.total_us;
    assert!((upload - B200.upload_us.value).abs() < 1e-9, "{upload}");
    assert!((paid.parts.sum() - paid.total_us).abs() < 1e-6);
    assert!(paid.assumptions().contains("table"), "{paid}");
    assert!(exceeds.bound_us(&B200) >= upload);
    // One group more, and everything that a table costs.
    let more = paid.total_us - price(&fits, &B200).total_us;
    assert!(more > upload, "{more}");
}

/// Pairs have four maps a group, of which 63 groups fit; CTAs alone have two, of which 117 groups fit.
#[test]
fn what_fits_the_parameters_is_preferred() {
    for groups in [60, 63, 64, 96, 117] {
        for m in [1, 64] {
            let choice = choose::choose(&crowd(groups, m), SM_100A).unwrap();
            assert_eq!(location(&choice.plan), Location::Parameter, "{groups}");
        }
    }
    let choice = choose::choose(&crowd(118, 1), SM_100A).unwrap();
    assert_eq!(location(&choice.plan), Location::Device);
    let hopper = choose::choose(&crowd(118, 1), SM_90A).unwrap();
    assert!(hopper.price.uploads);
}

/// Where pairs save more than a table costs, they are taken with the table.
#[test]
fn a_table_is_taken_where_it_pays() {
    let set = uniform("prefill", &[384; 64], 2048, 4096);
    let choice = choose::choose(&set, SM_100A).unwrap();
    assert_eq!(location(&choice.plan), Location::Device);
    for width in [256, 192, 128, 96] {
        for order in [Order::Runs, Order::Columns, Order::Balanced] {
            let alone = Choices {
                widths: Widths::UpTo(width),
                order,
                ctas: SM_100A.sms,
                ..alone()
            };
            let alone = plan(&set, SM_100A, alone).unwrap();
            assert_eq!(location(&alone), Location::Parameter);
            let us = price(&Workload::from(&alone), &B200).total_us;
            assert!(us > choice.price.total_us, "{width}, {order:?}: {us}");
        }
    }
}
