//! Arithmetic on sequence numbers, which wrap at 2^32 (RFC 9293, section 3.4).

/// How far `a` lies after `b`, in bytes; negative when it lies before.
///
/// Right as long as the two are less than 2 GiB apart, as those of one window always are.
#[inline]
pub fn seq_diff(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_survives_the_wrap() {
        assert_eq!(seq_diff(5, u32::MAX - 4), 10);
        assert_eq!(seq_diff(u32::MAX - 4, 5), -10);
    }
}
