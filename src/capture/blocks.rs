//! The parts of pcapng blocks that say how a capture was made: options, interfaces, statistics, host names.
//!
//! Format: draft-ietf-opsawg-pcapng, sections 3.5 and 4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::notes::{InterfaceInfo, MAX_HOST_NAMES, MAX_LISTED, Notes, SectionInfo};

/// Ends a list of options.
const END_OF_OPTIONS: u16 = 0;
/// A comment, the same in every block.
const COMMENT: u16 = 1;
/// A text of some vendor's: four bytes that name the vendor, then UTF-8. The second may not be copied by editors.
const CUSTOM_TEXT: [u16; 2] = [2988, 19372];
/// The longest text kept of an interface, a section or a name, in bytes.
const MAX_TEXT: usize = 4096;
/// The longest host name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// Packets lost between a packet and the one before it on the same interface.
const DROP_COUNT: u16 = 4;

/// Numbers of a section in its byte order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) big_endian: bool,
}

impl Order {
    #[inline]
    pub(super) fn u32(self, data: &[u8], at: usize) -> Option<u32> {
        let bytes = *data.get(at..)?.first_chunk::<4>()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    #[inline]
    pub(super) fn u16(self, data: &[u8], at: usize) -> Option<u16> {
        let bytes = *data.get(at..)?.first_chunk::<2>()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(super) fn u64(self, data: &[u8], at: usize) -> Option<u64> {
        let bytes = *data.get(at..)?.first_chunk::<8>()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// Options or records by code and value, up to an end mark, the end of the data or a length that does not fit.
    pub(super) fn options(self, data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = data;
        std::iter::from_fn(move || {
            let (code, len) = (self.u16(rest, 0)?, usize::from(self.u16(rest, 2)?));
            let value = rest.get(4..4 + len).filter(|_| code != END_OF_OPTIONS)?;
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
            Some((code, value))
        })
    }
}

/// The comment in an option, where it is one.
fn comment(code: u16, value: &[u8]) -> Option<String> {
    let text = match code {
        COMMENT => value,
        custom if CUSTOM_TEXT.contains(&custom) => value.get(4..)?,
        _ => return None,
    };
    Some(text_of(text)).filter(|text| !text.is_empty())
}

/// Text as it is shown: some writers end it with a zero byte, and not all write UTF-8.
fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').trim().to_owned()
}

/// A text that is not kept where it is longer than any sensible one.
fn short_text(value: &[u8]) -> String {
    if value.len() <= MAX_TEXT { text_of(value) } else { String::new() }
}

/// Adds a further comment, as long as there is room.
fn append(all: &mut String, text: &str) {
    if all.len() + text.len() > MAX_TEXT {
        return;
    }
    if !all.is_empty() {
        all.push('\n');
    }
    all.push_str(text);
}

impl Notes {
    /// The options of a packet block; says whether there was room for its comments.
    #[cold]
    pub(super) fn packet_options(&mut self, frame: u32, order: Order, options: &[u8]) -> bool {
        let mut kept = true;
        for (code, value) in order.options(options) {
            if code == DROP_COUNT && value.len() == 8 {
                self.lost_before = self.lost_before.saturating_add(order.u64(value, 0).unwrap_or(0));
            } else if let Some(text) = comment(code, value) {
                kept &= self.comments.add(frame, &text);
            }
        }
        kept
    }

    /// The options of a section header.
    pub(super) fn section_options(&mut self, order: Order, options: &[u8]) {
        let mut section = SectionInfo::default();
        for (code, value) in order.options(options) {
            match code {
                2 => section.hardware = short_text(value),
                3 => section.os = short_text(value),
                4 => section.application = short_text(value),
                _ => {
                    if let Some(text) = comment(code, value) {
                        append(&mut section.comment, &text);
                    }
                }
            }
        }
        if self.sections.len() < MAX_LISTED {
            self.sections.push(section);
        }
    }

    /// The options of an interface description; says whether there was room.
    pub(super) fn interface_options(&mut self, order: Order, link_type: String, options: &[u8]) -> bool {
        let mut interface = InterfaceInfo { link_type, ..InterfaceInfo::default() };
        for (code, value) in order.options(options) {
            match code {
                2 => interface.name = short_text(value),
                3 => interface.description = short_text(value),
                15 => interface.hardware = short_text(value),
                _ => {
                    if let Some(text) = comment(code, value) {
                        append(&mut interface.comment, &text);
                    }
                }
            }
        }
        let room = self.interfaces.len() < MAX_LISTED;
        if room {
            self.interfaces.push(interface);
        }
        room
    }

    /// The counters of an interface: they run up, so that the last ones count.
    pub(super) fn statistics(&mut self, place: usize, order: Order, options: &[u8]) {
        let Some(interface) = self.interfaces.get_mut(place) else { return };
        for (code, value) in order.options(options).filter(|(_, value)| value.len() == 8) {
            let counter = match code {
                4 => &mut interface.received,
                5 => &mut interface.dropped_by_interface,
                6 => &mut interface.accepted,
                7 => &mut interface.dropped_by_system,
                _ => continue,
            };
            *counter = order.u64(value, 0).max(*counter);
        }
    }

    /// The records of a name resolution block; says whether there was room.
    pub(super) fn names(&mut self, order: Order, records: &[u8]) -> bool {
        for (kind, value) in order.options(records) {
            let (address, names) = match kind {
                1 => match value.split_first_chunk::<4>() {
                    Some((address, names)) => (IpAddr::from(Ipv4Addr::from(*address)), names),
                    None => continue,
                },
                2 => match value.split_first_chunk::<16>() {
                    Some((address, names)) => (IpAddr::from(Ipv6Addr::from(*address)), names),
                    None => continue,
                },
                _ => continue,
            };
            for name in names
                .split(|&byte| byte == 0)
                .map(text_of)
                .filter(|name| (1..=MAX_NAME).contains(&name.len()))
            {
                if self.host_names.len() >= MAX_HOST_NAMES {
                    return false;
                }
                self.host_names.push((address, name));
            }
        }
        true
    }
}
