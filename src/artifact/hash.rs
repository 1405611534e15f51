//! Content hashes, the identity of every text in a library.

use sha2::{Digest, Sha256};

/// SHA-256 of `text`, 64 lower-case hexadecimal digits.
pub fn sha256(text: impl AsRef<[u8]>) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::sha256;

    // FIPS 180-4 examples, as NIST publishes them.
    #[test]
    fn known_answers() {
        assert_eq!(
            sha256(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
