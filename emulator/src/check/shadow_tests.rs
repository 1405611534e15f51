//! What races with what.

use super::*;

fn store(lane: u32, time: u32, line: u32) -> Entry {
    Entry {
        operation: Operation::Store,
        write: true,
        strong: false,
        asynchronous: false,
        stream: DIRECT,
        time,
        warp: 0,
        lanes: 1 << lane,
        lane,
        line,
        value: 0,
        mask: 0,
    }
}

fn touch(granule: &mut Granule, thread: &Thread, entry: Entry, mask: u32) -> Option<u32> {
    let access = Access {
        place: Place::Shared,
        thread,
        entry,
    };
    granule.access(&access, mask).err().map(|(_, e)| e.line)
}

#[test]
fn lanes_race_for_the_same_bytes_only() {
    let (mut granule, thread) = (Granule::default(), Thread::default());
    assert_eq!(touch(&mut granule, &thread, store(0, 1, 10), 0x0F), None);
    assert_eq!(touch(&mut granule, &thread, store(1, 1, 11), 0xF0), None);
    assert_eq!(touch(&mut granule, &thread, store(0, 1, 12), 0x03), None);
    assert_eq!(
        touch(&mut granule, &thread, store(2, 1, 13), 0x04),
        Some(10)
    );
    assert_eq!(
        touch(&mut granule, &thread, store(2, 1, 13), 0x02),
        Some(12)
    );
}

#[test]
fn a_copy_needs_order_and_a_proxy_fence() {
    use crate::check::knowledge::Actors;
    let mut granule = Granule::default();
    assert_eq!(
        touch(&mut granule, &Thread::default(), store(0, 1, 10), 0xF),
        None
    );
    let actors = Actors {
        warp: 0,
        mask: 1,
        time: 1,
    };
    let copy = |thread: &Thread, granule: &Granule| {
        let entry = Entry {
            asynchronous: true,
            stream: 0,
            line: 20,
            ..store(1, 1, 20)
        };
        let access = Access {
            place: Place::Shared,
            thread,
            entry,
        };
        granule.clone().access(&access, 0xF).err().map(|(m, _)| m)
    };
    let unordered = Thread::default();
    assert_eq!(copy(&unordered, &granule), Some(Missing::Order));
    let ordered = Thread::default().snapshot(actors);
    assert_eq!(copy(&ordered, &granule), Some(Missing::ProxyFence));
    let mut fenced = ordered;
    fenced.shared_proxy_fence(actors);
    assert_eq!(copy(&fenced, &granule), None);
}
