//! Streams to messages, and messages to exchanges. One file a wire protocol.

mod facts;

pub use facts::{
    CaptureFacts, Exchange, ExchangeFlags, Framing, HeaderDigest, Message, MessageState, Method, NameId,
    Protocol, Text, Version,
};
