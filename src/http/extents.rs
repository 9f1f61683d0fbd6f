//! Where the bytes of a message lie, delta-coded: about five bytes a segment.

use crate::capture::Extent;

/// Appends an extent to a message's delta-coded list: frame and offset as differences to the end of the
/// extent before it, zigzag and LEB128 coded: about five bytes a segment.
#[inline]
pub(super) fn encode(out: &mut Vec<u8>, previous: Extent, next: Extent) {
    let frame = zigzag(i64::from(next.frame) - i64::from(previous.frame));
    let offset = zigzag(next.offset as i64 - (previous.offset as i64 + i64::from(previous.len)));
    let len = u64::from(next.len);
    // Put together in one number, which is copied once.
    if frame < 1 << 14 && offset < 1 << 28 && len < 1 << 14 {
        let (mut coded, mut bits) = (0, 0);
        for value in [frame, offset, len] {
            let (word, taken) = short_varint(value);
            coded |= word << bits;
            bits += taken;
        }
        let end = out.len() + bits as usize / 8;
        out.extend_from_slice(&coded.to_le_bytes());
        out.truncate(end);
        return;
    }
    // The first extent of a message, mostly. Three numbers of up to ten bytes.
    let (mut coded, mut at) = ([0; 30], 0);
    for mut value in [frame, offset, len] {
        while value >= 0x80 {
            coded[at] = value as u8 | 0x80;
            value >>= 7;
            at += 1;
        }
        coded[at] = value as u8;
        at += 1;
    }
    out.extend_from_slice(&coded[..at]);
}

/// The extents of a list, `count` at most.
pub(super) fn decode(coded: &[u8], count: u32) -> impl Iterator<Item = Extent> {
    let (mut rest, mut last) = (coded, Extent::default());
    (0..count).map_while(move |_| {
        let (frame, offset, len) =
            (read_signed(&mut rest)?, read_signed(&mut rest)?, read_varint(&mut rest)?);
        let end = last.offset as i64 + i64::from(last.len);
        last = Extent {
            frame: (i64::from(last.frame) + frame) as u32,
            offset: (end + offset) as u64,
            len: len as u32,
        };
        Some(last)
    })
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A number below 2^28 in LEB128, its first byte lowest, and how many bits that takes.
#[inline]
fn short_varint(value: u64) -> (u64, u32) {
    let two = value & 0x7f | (value << 1) & 0x7f00;
    if value < 0x80 {
        (value, 8)
    } else if value < 0x4000 {
        (two | 0x80, 16)
    } else {
        let four = two | (value << 2) & 0x7f_0000 | (value << 3) & 0x7f00_0000;
        if value < 1 << 21 { (four | 0x8080, 24) } else { (four | 0x80_8080, 32) }
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let raw = read_varint(bytes)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_survive_their_coding_in_any_order() {
        let mut list = vec![
            Extent { frame: 7, offset: 10_000, len: 1448 },
            Extent { frame: 9, offset: 13_000, len: 20 },
            Extent { frame: 3, offset: 500, len: 65_000 },
            Extent { frame: u32::MAX, offset: 5 << 40, len: 1 },
        ];
        // Differences on either side of each number of coded bytes.
        for bits in [6, 7, 13, 14, 20, 21, 27, 28, 31] {
            for value in [(1 << bits) - 1, 1 << bits] {
                list.push(Extent { frame: 1, offset: 0, len: 0 });
                list.push(Extent { frame: value, offset: u64::from(value), len: value });
            }
        }
        let (mut coded, mut last) = (Vec::new(), Extent::default());
        for &extent in &list {
            encode(&mut coded, last, extent);
            last = extent;
        }
        assert_eq!(decode(&coded, list.len() as u32).collect::<Vec<_>>(), list);
        assert_eq!(decode(&coded[..coded.len() - 1], list.len() as u32).count(), list.len() - 1);
    }
}
