//! Messages: composed, loaded, read, and rendered piece by piece.
//!
//! A [`Message`] holds header fields and either what it is composed of or what
//! was loaded. [`Message::render`] makes a [`Rendering`], a plan of segments that
//! knows its exact length and gives the octets in constant memory: attachments
//! are read and encoded on the way.

#![forbid(unsafe_code)]

mod address;
mod attachment;
mod charset;
mod compose;
mod data;
mod encoded_word;
mod envelope;
mod field;
mod flowed;
mod fold;
mod layout;
mod list;
mod load;
mod media_type;
#[allow(clippy::module_inception)]
mod message;
mod parameter;
mod part;
mod render;
mod transfer_encoding;

pub use address::{Address, NamedMailbox, parse_addresses};
pub use attachment::Attachment;
pub use compose::Parts;
pub use data::{Data, Opened, Read, Rewind};
pub use encoded_word::decode_words;
pub use envelope::MessageEnvelope;
pub use field::{check_name, check_value};
pub use list::Unsubscribe;
pub use media_type::guess as guess_media_type;
pub use message::{Calendar, Message, Priority, TextEncoding};
pub use parameter::Parameters;
pub use part::Part;
pub use render::{EXPORT_OPTIONS, RenderOptions, Rendering};
pub use transfer_encoding::Encoding;
