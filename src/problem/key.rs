use super::{Group, Set};
use sha2::{Digest, Sha256};

/// Keys are at most this long; longer ones have their lists shortened and a hash added.
pub const MAX_KEY_LEN: usize = 100;

/// The key of a set: see [`Set::key`].
///
/// The full key spells out every size, so two sets share it only if they need the same kernel. A shortened key
/// carries the first 64 bits of the SHA-256 of the full one.
pub(super) fn of(set: &Set) -> String {
    let full = spell(set, &list);
    if full.len() <= MAX_KEY_LEN {
        return full;
    }
    let digest = Sha256::digest(full.as_bytes());
    let hash: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}_{hash}", spell(set, &range))
}

fn spell(set: &Set, sizes: &dyn Fn(&[u32]) -> String) -> String {
    let column = |size: fn(&Group) -> u32| sizes(&set.groups.iter().map(size).collect::<Vec<_>>());
    let (m, n, k) = (
        column(|group| group.m),
        column(|group| group.n),
        column(|group| group.k),
    );
    format!(
        "g{}_m{m}_n{n}_k{k}_{}_{}",
        set.groups.len(),
        set.output,
        set.weights
    )
}

/// All sizes joined by `-`, or the one size that all groups share.
fn list(sizes: &[u32]) -> String {
    let all: Vec<String> = sizes.iter().map(u32::to_string).collect();
    if same(sizes) {
        all[..1.min(all.len())].concat()
    } else {
        all.join("-")
    }
}

/// The smallest and the largest size, or the one size that all groups share.
fn range(sizes: &[u32]) -> String {
    match (sizes.iter().min(), sizes.iter().max()) {
        (Some(min), Some(max)) if min != max => format!("{min}to{max}"),
        _ => list(sizes),
    }
}

fn same(sizes: &[u32]) -> bool {
    sizes.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::super::{OutputType, Weights};
    use super::*;

    fn set(m: &[u32], n: u32, k: u32) -> Set {
        let groups = m.iter().map(|&m| Group { m, n, k }).collect();
        Set {
            name: "any".into(),
            groups,
            output: OutputType::F16,
            weights: Weights::Static,
        }
    }

    #[test]
    fn short_lists_are_spelled_out() {
        assert_eq!(
            set(&[192, 320], 3072, 4096).key(),
            "g2_m192-320_n3072_k4096_f16_static"
        );
        assert_eq!(set(&[128, 128], 8, 64).key(), "g2_m128_n8_k64_f16_static");
        assert_eq!(set(&[0], 8, 64).key(), "g1_m0_n8_k64_f16_static");
    }

    #[test]
    fn options_are_part_of_the_key_and_the_name_is_not() {
        let one = set(&[5], 8, 64);
        assert_eq!(
            Set {
                name: "other".into(),
                ..one.clone()
            }
            .key(),
            one.key()
        );
        assert_ne!(
            Set {
                weights: Weights::Dynamic,
                ..one.clone()
            }
            .key(),
            one.key()
        );
        assert_ne!(
            Set {
                output: OutputType::Bf16,
                ..one.clone()
            }
            .key(),
            one.key()
        );
    }

    /// The literal pins the hash: keys are file names that outlive a version.
    #[test]
    fn long_lists_become_their_range_and_a_stable_hash() {
        let long: Vec<u32> = (0..64).collect();
        let key = set(&long, 4096, 7168).key();
        assert_eq!(key, "g64_m0to63_n4096_k7168_f16_static_cda88a6f6c39eae7");
        let swapped: Vec<u32> = (0..64).map(|m| m ^ 1).collect();
        assert_ne!(set(&swapped, 4096, 7168).key(), key);
    }

    #[test]
    fn no_key_is_longer_than_the_limit() {
        for groups in [1, 8, 12, 13, 14, 32, 65535u32] {
            let m: Vec<u32> = (0..groups).map(|i| i32::MAX as u32 - i).collect();
            let key = set(&m, i32::MAX as u32 - 7, 1 << 18).key();
            assert!(key.len() <= MAX_KEY_LEN, "{key}");
            assert!(
                key.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            );
        }
    }
}
