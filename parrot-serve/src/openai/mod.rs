//! OpenAI's interface.

pub(crate) mod chat;
pub(crate) mod list;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod translate;
