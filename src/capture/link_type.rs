//! Link types: what the first bytes of a packet are, by the registry that pcap and pcapng share.

use std::fmt::{self, Display};

/// A link type as capture files number it (the `LINKTYPE_` registry of tcpdump.org).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: an address family in the byte order of the capturing machine, then IP.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const EN10MB: Self = Self(1);
    /// PPP, with or without HDLC framing.
    pub const PPP: Self = Self(9);
    /// Raw IP; the value of `DLT_RAW` on most systems, found in files of programs that do not translate it.
    pub const DLT_RAW: Self = Self(12);
    /// Raw IP; the value of `DLT_RAW` on OpenBSD.
    pub const DLT_RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC framing, or Cisco's HDLC.
    pub const PPP_SERIAL: Self = Self(50);
    /// PPP over Ethernet, from its own header on.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP, version 4 or 6 by its first four bits.
    pub const RAW: Self = Self(101);
    /// Cisco's HDLC.
    pub const C_HDLC: Self = Self(104);
    /// Wireless LAN (IEEE 802.11), from the frame control on.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: an address family in network byte order, then IP.
    pub const LOOP: Self = Self(108);
    /// OpenBSD's view into IPsec.
    pub const ENC: Self = Self(109);
    /// Linux "cooked" capture, as `tcpdump -i any` wrote it before libpcap 1.10.
    pub const LINUX_SLL: Self = Self(113);
    /// What OpenBSD's firewall logs.
    pub const PFLOG: Self = Self(117);
    /// Wireless LAN behind a Prism header.
    pub const PRISM_HEADER: Self = Self(119);
    /// Wireless LAN behind a radiotap header.
    pub const IEEE802_11_RADIO: Self = Self(127);
    /// Wireless LAN behind an AVS header.
    pub const IEEE802_11_RADIO_AVS: Self = Self(163);
    /// What pppd records: a direction, then PPP.
    pub const PPP_PPPD: Self = Self(166);
    /// A header of its own length, and a further link type.
    pub const PPI: Self = Self(192);
    /// A direction, then PPP.
    pub const PPP_WITH_DIR: Self = Self(204);
    /// An MPLS label stack.
    pub const MPLS: Self = Self(219);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// What the Linux firewall logs (`tcpdump -i nflog`).
    pub const NFLOG: Self = Self(239);
    /// Darwin's tap on several interfaces (`tcpdump -i pktap`).
    pub const PKTAP: Self = Self(258);
    /// Linux "cooked" capture version 2, with the interface of each packet.
    pub const LINUX_SLL2: Self = Self(276);

    /// Its short name, where this program knows one.
    pub fn known_name(self) -> Option<&'static str> {
        let name = match self.0 {
            0 => "NULL",
            1 => "EN10MB",
            6 => "IEEE802",
            8 => "SLIP",
            9 => "PPP",
            10 => "FDDI",
            12 | 14 | 101 => "RAW",
            50 => "PPP_SERIAL",
            51 => "PPP_ETHER",
            104 => "C_HDLC",
            105 => "IEEE802_11",
            107 => "FRELAY",
            108 => "LOOP",
            109 => "ENC",
            113 => "LINUX_SLL",
            117 => "PFLOG",
            119 => "PRISM_HEADER",
            127 => "IEEE802_11_RADIO",
            163 => "IEEE802_11_RADIO_AVS",
            166 => "PPP_PPPD",
            189 => "USB_LINUX",
            192 => "PPI",
            204 => "PPP_WITH_DIR",
            219 => "MPLS",
            220 => "USB_LINUX_MMAPPED",
            227 => "CAN_SOCKETCAN",
            228 => "IPV4",
            229 => "IPV6",
            239 => "NFLOG",
            249 => "USBPCAP",
            252 => "WIRESHARK_UPPER_PDU",
            253 => "NETLINK",
            258 => "PKTAP",
            271 => "VSOCK",
            276 => "LINUX_SLL2",
            _ => return None,
        };
        Some(name)
    }
}

impl Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "LINKTYPE_{}", self.0),
        }
    }
}
