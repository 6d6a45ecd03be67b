//! A bounded reader: every read checks what is left.

use super::{DecodeError, U53_MAX};

type Decoded<T> = Result<T, DecodeError>;

/// Reads fields from the front of a byte string.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next N bytes.
    pub fn array<const N: usize>(&mut self) -> Decoded<&'a [u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Decoded<u8> {
        self.array::<1>().map(|bytes| bytes[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Decoded<u16> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Decoded<u32> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Eight bytes, at most 2^53−1.
    pub fn u53(&mut self) -> Decoded<u64> {
        let value = u64::from_le_bytes(*self.array()?);
        if value > U53_MAX {
            Err(DecodeError::OutOfRange)
        } else {
            Ok(value)
        }
    }

    /// One byte below `end`.
    pub fn below(&mut self, end: u8) -> Decoded<u8> {
        let value = self.u8()?;
        if value < end {
            Ok(value)
        } else {
            Err(DecodeError::OutOfRange)
        }
    }

    /// One byte that is 0 or 1.
    pub fn boolean(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::NotCanonical),
        }
    }

    /// A set of replicas.
    pub fn set(&mut self) -> Decoded<u32> {
        let set = self.u32()?;
        if set >> 31 == 0 {
            Ok(set)
        } else {
            Err(DecodeError::NotCanonical)
        }
    }

    /// Bytes after their length.
    pub fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// A count of items that take at least `bytes_each`: what is left must hold them.
    pub fn counted(&self, count: impl Into<u64>, bytes_each: usize) -> Decoded<usize> {
        let count = count.into() as usize;
        match count.checked_mul(bytes_each) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// `count` items of N bytes.
    pub fn arrays<const N: usize>(&mut self, count: usize) -> Decoded<&'a [[u8; N]]> {
        let length = count.checked_mul(N).ok_or(DecodeError::Truncated)?;
        let (items, _) = self.take(length)?.as_chunks::<N>();
        Ok(items)
    }

    /// Nothing may follow.
    pub fn finish(self) -> Decoded<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_larger_than_what_is_left_is_refused_before_anything_is_allocated() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(reader.bytes(), Err(DecodeError::Truncated));
        assert_eq!(
            Reader::new(&[0; 8]).arrays::<32>(usize::MAX),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn u53_ends_at_two_to_the_53_minus_one() {
        assert_eq!(Reader::new(&U53_MAX.to_le_bytes()).u53(), Ok(U53_MAX));
        assert_eq!(
            Reader::new(&(U53_MAX + 1).to_le_bytes()).u53(),
            Err(DecodeError::OutOfRange)
        );
    }

    #[test]
    fn bit_31_of_a_set_and_a_boolean_of_two_are_refused() {
        assert_eq!(
            Reader::new(&0x7fff_ffffu32.to_le_bytes()).set(),
            Ok(0x7fff_ffff)
        );
        assert_eq!(
            Reader::new(&0x8000_0000u32.to_le_bytes()).set(),
            Err(DecodeError::NotCanonical)
        );
        assert_eq!(Reader::new(&[2]).boolean(), Err(DecodeError::NotCanonical));
    }
}
