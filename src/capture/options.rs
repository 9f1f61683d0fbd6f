//! The TCP options that connections are judged by.

/// Two NOPs, then kind 8 (timestamps) of length 10: how stacks lay a segment's options out (RFC 7323, appendix A).
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];
/// RFC 7323, section 2.3: larger shifts count as this one.
const LARGEST_SHIFT: u8 = 14;

/// Length of a TCP header without options.
const FIXED: usize = 20;

/// The TSval in a TCP header, where the timestamps stand in their usual place; else 0.
#[inline]
pub(super) fn tsval(header: &[u8]) -> u32 {
    match header.get(FIXED..FIXED + 8) {
        Some([a, b, c, d, value @ ..]) if [*a, *b, *c, *d] == TIMESTAMPS => {
            value.first_chunk().map_or(0, |value| u32::from_be_bytes(*value))
        }
        _ => 0,
    }
}

/// The shift in the window scale option of a SYN's header (RFC 7323, section 2.2).
#[cold]
pub(super) fn window_scale(header: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    let mut rest = header.get(FIXED..).unwrap_or_default();
    loop {
        rest = match rest {
            [] | [END, ..] => return None,
            [NOP, after @ ..] => after,
            [WINDOW_SCALE, 3, shift, ..] => return Some((*shift).min(LARGEST_SHIFT)),
            [_, len, ..] if *len >= 2 => rest.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(options: &[u8]) -> Vec<u8> {
        [&[0; FIXED][..], options].concat()
    }

    #[test]
    fn finds_the_window_scale_behind_other_options_and_never_runs_past_the_end() {
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(window_scale(&header(&linux)), Some(7));
        assert_eq!(window_scale(&header(&[1, 1, 3, 3, 99])), Some(14));
        for broken in [&[2u8, 0, 3, 3, 7][..], &[3, 3], &[2, 200, 1], &[0, 3, 3, 7], &[]] {
            assert_eq!(window_scale(&header(broken)), None);
        }
    }

    #[test]
    fn reads_timestamps_in_their_usual_place_only() {
        assert_eq!(tsval(&header(&[1, 1, 8, 10, 0, 0, 1, 2, 9, 9, 9, 9])), 258);
        assert_eq!(tsval(&header(&[1, 1, 8, 10, 0, 0, 1])), 0);
        assert_eq!(tsval(&header(&[2, 4, 5, 180, 1, 1, 1, 1])), 0);
    }
}
