//! Bytes as lines of text: zlib, then base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use miniz_oxide::deflate::compress_to_vec_zlib;

/// Characters of a line.
const LINE: usize = 110;
/// Compression levels, the best first. Each gives other text for the same bytes.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=10;

/// The bytes as lines of base64, in which `forbidden` (in lower case) does not stand in any case. None if it does
/// whatever is tried.
///
/// Six given letters stand in 30,000 characters once in 30,000 times, so a second attempt is rare, and ten are enough.
pub fn encode(bytes: &[u8], forbidden: &str) -> Option<Vec<String>> {
    LEVELS.rev().find_map(|level| {
        let text = STANDARD.encode(compress_to_vec_zlib(bytes, level));
        // Lines could hide it, and somebody could join them.
        let clean = !text.to_ascii_lowercase().contains(forbidden);
        clean.then(|| lines(&text))
    })
}

fn lines(text: &str) -> Vec<String> {
    let line = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    text.as_bytes().chunks(LINE).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::inflate::decompress_to_vec_zlib;

    fn decode(lines: &[String]) -> Vec<u8> {
        decompress_to_vec_zlib(&STANDARD.decode(lines.concat()).unwrap()).unwrap()
    }

    fn text() -> Vec<u8> {
        (0..4000u32)
            .flat_map(|i| format!("mov.b32 %r{}, {};\n", i % 37, i * i).into_bytes())
            .collect()
    }

    #[test]
    fn the_bytes_come_back() {
        let bytes = text();
        assert_eq!(decode(&encode(&bytes, "stream").unwrap()), bytes);
        assert_eq!(decode(&encode(&[], "stream").unwrap()), []);
    }

    /// Whatever six letters the first attempt has, a later one goes without.
    #[test]
    fn forbidden_letters_are_encoded_away() {
        let bytes = text();
        let first = encode(&bytes, "stream").unwrap().concat();
        for at in [0, 107, first.len() / 2, first.len() - 6] {
            let forbidden = first[at..at + 6].to_ascii_lowercase();
            match encode(&bytes, &forbidden) {
                Some(lines) => {
                    assert!(!lines.concat().to_ascii_lowercase().contains(&forbidden));
                    assert_eq!(decode(&lines), bytes);
                }
                // The header of zlib is the same at all levels but for two bits.
                None => assert_eq!(at, 0),
            }
        }
    }
}
