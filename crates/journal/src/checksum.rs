//! The one checksum of all files: CRC-64/NVME.

use crc64fast_nvme::Digest;

/// Checksum of the parts one after another.
pub(crate) fn checksum(parts: &[&[u8]]) -> u64 {
    let mut digest = Digest::new();
    for part in parts {
        digest.write(part);
    }
    digest.sum64()
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn the_checksum_is_crc_64_nvme_of_the_concatenation() {
        // Check value of the catalogue of CRC algorithms for the digits 1 to 9.
        assert_eq!(checksum(&[b"123456789"]), 0xae8b_1486_0a79_9888);
        assert_eq!(checksum(&[b"1234", b"", b"56789"]), 0xae8b_1486_0a79_9888);
    }
}
