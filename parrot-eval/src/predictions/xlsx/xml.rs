//! A part of a spreadsheet, element by element, as Python's parser gives it to openpyxl.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::BufRead;

use parrot_model::untrusted::{printable, shortened};
use quick_xml::NsReader;
use quick_xml::XmlVersion::Implicit1_0;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceError, QName, ResolveResult};

use super::package::no_xlsx;

/// The namespace of the elements that a sheet and its texts are made of. openpyxl knows no other: not that of the strict
/// variant of the format.
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";

/// The namespace of the attribute by which a workbook refers to a sheet.
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// An element's name and attributes.
pub(super) struct Tag {
    start: BytesStart<'static>,
    is_main: bool,
}

impl Tag {
    /// The name without its prefix, whatever namespace that is.
    pub(super) fn name(&self) -> &str {
        self.start.local_name().into_inner()
    }

    /// Whether it is this element of a sheet.
    pub(super) fn is_main(&self, name: &str) -> bool {
        self.is_main && self.name() == name
    }
}

/// What comes next, but for text.
enum Step {
    Start(Tag),
    End,
    Eof,
}

/// A part that is read from its start to its end. Entities of its own are not known: they could stand for any amount of text.
pub(super) struct Xml<'p> {
    reader: NsReader<Box<dyn BufRead + 'p>>,
    buffer: Vec<u8>,
    part: String,
    depth: usize,
    has_root: bool,
}

impl<'p> Xml<'p> {
    /// The part of this name, of which these are the bytes.
    pub(super) fn new(part: &str, bytes: Box<dyn BufRead + 'p>) -> Self {
        let mut reader = NsReader::from_reader(bytes);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), part: part.into(), depth: 0, has_root: false }
    }

    /// How many elements are open: 1 within the outermost one.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The next element that begins, however deep it lies; `None` behind the last one.
    pub(super) fn start(&mut self) -> Result<Option<Tag>, String> {
        loop {
            match self.step(None)? {
                Step::Start(tag) => return Ok(Some(tag)),
                Step::End => {}
                Step::Eof => return Ok(None),
            }
        }
    }

    /// The next child of the open element at this depth; `None` behind that element's end. What lies deeper is passed over.
    pub(super) fn child(&mut self, depth: usize) -> Result<Option<Tag>, String> {
        loop {
            match self.step(None)? {
                Step::Start(tag) if self.depth == depth + 1 => return Ok(Some(tag)),
                Step::End if self.depth < depth => return Ok(None),
                Step::Start(_) | Step::End => {}
                Step::Eof => return Ok(None),
            }
        }
    }

    /// The text of the element that was opened last, up to its first child; reads past its end.
    pub(super) fn text(&mut self) -> Result<String, String> {
        let depth = self.depth;
        let mut text = String::new();
        let mut has_child = false;
        loop {
            match self.step((!has_child).then_some(&mut text))? {
                Step::Start(_) => has_child = true,
                Step::End if self.depth >= depth => {}
                Step::End | Step::Eof => return Ok(text),
            }
        }
    }

    /// The text of a shared string or of an inline one, of which pronunciations (`rPh`) are no part; reads past its end.
    pub(super) fn rich_text(&mut self) -> Result<String, String> {
        let depth = self.depth;
        let (mut plain, mut runs) = (String::new(), String::new());
        while let Some(tag) = self.child(depth)? {
            match tag.name() {
                "t" => plain = self.text()?,
                "r" => {
                    let mut run = String::new();
                    while let Some(tag) = self.child(depth + 1)? {
                        if tag.name() == "t" {
                            run = self.text()?;
                        }
                    }
                    runs += &run;
                }
                _ => {}
            }
        }
        Ok(plain + &runs)
    }

    /// The values that an element has for these attributes of no namespace.
    pub(super) fn attributes<const N: usize>(
        &self,
        tag: &Tag,
        names: [&str; N],
    ) -> Result<[Option<String>; N], String> {
        self.values(tag, |key| names.iter().position(|name| *name == key))
    }

    /// The name by which a workbook's sheet refers to its part.
    pub(super) fn relation(&self, tag: &Tag) -> Result<Option<String>, String> {
        let is_relation = |key: &str| {
            let (namespace, name) = self.reader.resolver().resolve_attribute(QName(key));
            matches!(namespace, ResolveResult::Bound(Namespace(RELATIONS))) && name.into_inner() == "id"
        };
        let [in_namespace, plain] =
            self.values(tag, |key| if is_relation(key) { Some(0) } else { (key == "id").then_some(1) })?;
        Ok(in_namespace.or(plain))
    }

    /// An element's attributes, each in the place that its name has; without a check for doubles, which would compare each
    /// with all others.
    fn values<const N: usize>(
        &self,
        tag: &Tag,
        place: impl Fn(&str) -> Option<usize>,
    ) -> Result<[Option<String>; N], String> {
        let mut values = [const { None }; N];
        for attribute in tag.start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| self.broken(&error))?;
            if let Some(place) = place(attribute.key.into_inner()) {
                let value = attribute.normalized_value(Implicit1_0).map_err(|error| self.broken(&error))?;
                values[place] = Some(value.into_owned());
            }
        }
        Ok(values)
    }

    /// Reads up to the next tag.
    ///
    /// - text: what is between is added to it
    fn step(&mut self, mut text: Option<&mut String>) -> Result<Step, String> {
        loop {
            self.buffer.clear();
            let (namespace, event) = match self.reader.read_resolved_event_into(&mut self.buffer) {
                Ok(read) => read,
                // The reader's own words are for those who set its limit.
                Err(quick_xml::Error::Namespace(NamespaceError::TooManyBindings(most))) => {
                    return Err(broken(&self.part, &format!("it names more than {most} namespaces at once")));
                }
                Err(error) => return Err(broken(&self.part, &error)),
            };
            let piece: Cow<str> = match event {
                Event::Start(start) => {
                    self.depth += 1;
                    self.has_root = true;
                    let is_main = matches!(namespace, ResolveResult::Bound(Namespace(MAIN)));
                    return Ok(Step::Start(Tag { start: start.into_owned(), is_main }));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Step::End);
                }
                Event::Eof if self.depth > 0 => {
                    return Err(broken(&self.part, &"it ends before its elements do"));
                }
                Event::Eof if !self.has_root => return Err(broken(&self.part, &"it holds no XML")),
                Event::Eof => return Ok(Step::Eof),
                Event::Text(piece) => piece.xml10_content(),
                Event::CData(piece) => piece.xml10_content(),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(c)) => c.to_string().into(),
                    Ok(None) => match resolve_predefined_entity(&reference) {
                        Some(text) => text.into(),
                        None => {
                            let entity = shown(&reference);
                            return Err(broken(&self.part, &format!("the entity &{entity}; is not known")));
                        }
                    },
                    Err(error) => return Err(broken(&self.part, &error)),
                },
                Event::Decl(declaration) => {
                    match declaration.encoding() {
                        Some(Ok(name)) if !is_unicode(&name) => {
                            let problem = format!("it is written in {}; expected UTF-8", shown(&name));
                            return Err(broken(&self.part, &problem));
                        }
                        _ => continue,
                    };
                }
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => continue,
            };
            if !piece.chars().all(is_character) {
                return Err(broken(&self.part, &"it holds characters that XML has not"));
            }
            if let Some(text) = text.as_deref_mut() {
                text.push_str(&piece);
            }
        }
    }

    fn broken(&self, error: &dyn Display) -> String {
        broken(&self.part, error)
    }
}

/// What is said of a part that cannot be read.
pub(super) fn broken(part: &str, error: &dyn Display) -> String {
    no_xlsx(&format!("its part {}: {}", shown(part), shown(&error.to_string())))
}

/// What a file holds, as it is quoted in an error.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 200;
    printable(&shortened(text, MOST)).replace('\n', " ")
}

/// Whether what an XML declaration calls its encoding is one that has been decoded.
fn is_unicode(encoding: &str) -> bool {
    ["utf-8", "utf8", "utf-16", "utf16", "us-ascii", "ascii"].contains(&&*encoding.to_ascii_lowercase())
}

/// Whether XML may hold a character.
fn is_character(c: char) -> bool {
    (c >= ' ' || matches!(c, '\t' | '\n' | '\r')) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}
