//! A kernel that is not there: what is nearest, and how to add it.

use std::fmt;

use crate::artifact::{KernelEntry, Sizes};
use crate::problem::Set;

/// How many neighbours are named.
const NEIGHBOURS: usize = 3;

/// A key that a library does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The key.
    pub key: String,
    /// Name and key of the nearest kernels by size, nearest first.
    pub nearest: Vec<(String, String)>,
    /// The lines of a shape file that ask for it. None if the key does not tell the sizes.
    pub toml: Option<String>,
}

impl Missing {
    pub(super) fn of_key<'a>(
        key: &str,
        entries: impl Iterator<Item = &'a KernelEntry>,
    ) -> Box<Self> {
        Self::new(key, "new", parse(key), entries)
    }

    pub(super) fn of_set<'a>(
        set: &Set,
        entries: impl Iterator<Item = &'a KernelEntry>,
    ) -> Box<Self> {
        let column = |size: fn(&crate::problem::Group) -> u32| set.groups.iter().map(size);
        let sizes = Sizes {
            m: column(|group| group.m).collect(),
            n: column(|group| group.n).collect(),
            k: column(|group| group.k).collect(),
            output: set.output.to_string(),
            weights: set.weights.to_string(),
        };
        Self::new(&set.key(), &set.name, Some(sizes), entries)
    }

    fn new<'a>(
        key: &str,
        name: &str,
        sizes: Option<Sizes>,
        entries: impl Iterator<Item = &'a KernelEntry>,
    ) -> Box<Self> {
        let mut near: Vec<(f64, &KernelEntry)> = entries
            .map(|entry| {
                let known = sizes.as_ref();
                (known.map_or(0.0, |s| distance(s, &entry.sizes)), entry)
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.dedup_by(|a, b| a.1.key == b.1.key);
        let neighbour = |(_, entry): &(f64, &KernelEntry)| (entry.name.clone(), entry.key.clone());
        Box::new(Missing {
            key: key.to_owned(),
            nearest: near.iter().take(NEIGHBOURS).map(neighbour).collect(),
            toml: sizes.map(|sizes| toml(name, &sizes)),
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the library has no kernel {}", self.key)?;
        match self.nearest.as_slice() {
            [] => f.write_str("; it is empty")?,
            near => {
                f.write_str("; nearest are:")?;
                for (name, key) in near {
                    write!(f, "\n  {key} ({name})")?;
                }
            }
        }
        match &self.toml {
            Some(toml) => write!(
                f,
                "\nto have it, add this to a shape file and run `nvfp4gen build`:\n{toml}"
            ),
            None => f.write_str(
                "\nits sizes cannot be read from this key (keys look like g2_m192-320_n3072_k4096_f16_static); add the \
                 set to a shape file and run `nvfp4gen build`",
            ),
        }
    }
}

/// The sizes that a key spells out. None if it is not a key, or a shortened one.
fn parse(key: &str) -> Option<Sizes> {
    let [groups, m, n, k, output, weights] = key.split('_').collect::<Vec<_>>()[..] else {
        return None;
    };
    let groups: usize = groups.strip_prefix('g')?.parse().ok()?;
    let list = |text: &str, letter| list(text.strip_prefix(letter)?, groups);
    Some(Sizes {
        m: list(m, 'm')?,
        n: list(n, 'n')?,
        k: list(k, 'k')?,
        output: output.to_owned(),
        weights: weights.to_owned(),
    })
}

fn list(text: &str, groups: usize) -> Option<Vec<u32>> {
    let sizes: Result<Vec<u32>, _> = text.split('-').map(str::parse).collect();
    match sizes.ok()?.as_slice() {
        [one] if groups <= 1 << 16 => Some(vec![*one; groups]),
        all if all.len() == groups => Some(all.to_vec()),
        _ => None,
    }
}

/// How unlike two sets are: first in the number of groups, then in the ratios of their sizes, last in their options.
fn distance(a: &Sizes, b: &Sizes) -> f64 {
    let options = f64::from(a.output != b.output) * 0.02 + f64::from(a.weights != b.weights) * 0.01;
    let groups = a.m.len().abs_diff(b.m.len()) as f64 * 100.0;
    let columns = [(&a.m, &b.m), (&a.n, &b.n), (&a.k, &b.k)];
    let sizes: f64 = columns.iter().map(|(a, b)| ratio(a, b)).sum();
    groups + sizes + options
}

/// The mean of |log2| of the ratios, group by group, or of the sums if the numbers of groups differ.
fn ratio(a: &[u32], b: &[u32]) -> f64 {
    let log = |a: f64, b: f64| ((a + 1.0) / (b + 1.0)).log2().abs();
    if a.len() == b.len() {
        let pairs = a.iter().zip(b);
        pairs
            .map(|(a, b)| log((*a).into(), (*b).into()))
            .sum::<f64>()
            / a.len().max(1) as f64
    } else {
        let sum = |sizes: &[u32]| sizes.iter().map(|size| f64::from(*size)).sum();
        log(sum(a), sum(b))
    }
}

/// The lines of a shape file that ask for these sizes.
fn toml(name: &str, sizes: &Sizes) -> String {
    let list = |sizes: &[u32]| match sizes {
        [first, rest @ ..] if rest.iter().all(|size| size == first) && !rest.is_empty() => {
            first.to_string()
        }
        all => format!("{all:?}"),
    };
    // M is always written as a list: its length is the number of groups.
    format!(
        "[[set]]\nname = {:?}\nm = {:?}\nn = {}\nk = {}\noutput = {:?}\nweights = {:?}\n",
        name,
        sizes.m,
        list(&sizes.n),
        list(&sizes.k),
        sizes.output,
        sizes.weights
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ShapeFile;

    #[test]
    fn the_lines_give_the_set_that_was_missing() {
        for key in [
            "g2_m192-320_n3072_k4096_f16_static",
            "g3_m64-72-96_n128-384-512_k512-512-256_f16_dynamic",
            "g1_m0_n8_k64_f16_static",
        ] {
            let missing = Missing::of_key(key, std::iter::empty());
            let file = ShapeFile::parse("new.toml", &missing.toml.unwrap()).unwrap();
            assert_eq!(file.sets[0].key(), key);
        }
    }

    #[test]
    fn what_is_no_key_has_no_lines() {
        let short = "g64_m0to63_n4096_k7168_f16_static_cda88a6f6c39eae7";
        for key in [
            short,
            "P3",
            "",
            "g2_m1-2-3_n8_k64_f16_static",
            "g_m1_n8_k64_f16_static",
        ] {
            assert_eq!(Missing::of_key(key, std::iter::empty()).toml, None, "{key}");
        }
    }
}
