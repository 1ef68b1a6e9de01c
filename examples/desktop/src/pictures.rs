//! Pictures: read on threads of their own, since a photo takes a moment to decode.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use eframe::egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;
use parrot_infer::Image;
use parrot_model::error_chain;
use parrot_model::layout::CONFIG_FILE;
use parrot_model::untrusted::contained;

/// The longest side of what is drawn.
const DRAWN_SIDE: u32 = 512;

/// How files of pictures end.
pub(crate) const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// Pictures that the window brings along: their names and their files.
pub(crate) const SAMPLES: [(&str, &[u8]); 4] = [
    ("rocket", include_bytes!("../../../assets/pictures/rocket.png")),
    ("monkey", include_bytes!("../../../assets/pictures/monkey.png")),
    ("butterfly", include_bytes!("../../../assets/pictures/butterfly.png")),
    ("four things", include_bytes!("../../../assets/pictures/four-things.png")),
];

/// A picture that can be asked about and drawn.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) image: Image,
    pub(crate) name: String,
    /// At most 512 pixels wide and high.
    pub(crate) texture: TextureHandle,
}

impl Picture {
    fn new(context: &Context, image: Image, name: String) -> Self {
        let texture = context.load_texture(&name, drawn(image.pixels()), TextureOptions::LINEAR);
        Self { image, name, texture }
    }

    /// Has it drawn in another window.
    pub(crate) fn draw_in(&mut self, context: &Context) {
        *self = Self::new(context, self.image.clone(), std::mem::take(&mut self.name));
    }
}

/// Reads pictures without keeping the window waiting.
pub(crate) struct Reader {
    context: Context,
    /// One for each picture that is being read, in the order in which they were given: that is the order of the images that
    /// a question is about.
    under_way: VecDeque<Receiver<Result<Picture, String>>>,
}

impl Reader {
    pub(crate) fn new(context: &Context) -> Self {
        Self { context: context.clone(), under_way: VecDeque::new() }
    }

    /// Reads a file.
    pub(crate) fn open(&mut self, path: PathBuf) {
        self.read(move || Image::open(&path).map(|image| (image, file_name(&path))));
    }

    /// Decodes one of the [`SAMPLES`].
    pub(crate) fn sample(&mut self, (name, file): (&'static str, &'static [u8])) {
        self.read(move || Image::from_bytes(file, name).map(|image| (image, name.to_owned())));
    }

    /// Takes the clipboard's pixels.
    pub(crate) fn paste(&mut self, pixels: Arc<ColorImage>) {
        self.read(move || {
            let [width, height] = pixels.size.map(|side| side as u32);
            // egui has multiplied the colours by their opacity; what is transparent stands on white.
            let on_white = |channel: u8, alpha: u8| channel.saturating_add(255 - alpha);
            let rgb = pixels.pixels.iter().flat_map(|pixel| {
                let [red, green, blue, alpha] = pixel.to_array();
                [red, green, blue].map(|channel| on_white(channel, alpha))
            });
            let image = RgbImage::from_raw(width, height, rgb.collect()).unwrap_or_default();
            Ok((Image::from_rgb(image), "from the clipboard".to_owned()))
        });
    }

    fn read(&mut self, read: impl FnOnce() -> parrot_infer::Result<(Image, String)> + Send + 'static) {
        let (sender, receiver) = mpsc::channel();
        self.under_way.push_back(receiver);
        let context = self.context.clone();
        thread::spawn(move || {
            let read = contained(|| read().map_err(|error| error_chain(&error))).and_then(|read| read);
            let picture = read.map(|(image, name)| Picture::new(&context, image, name));
            // Nobody listens any more once the window is closed.
            let _ = sender.send(picture);
            context.request_repaint();
        });
    }

    /// The pictures that have been read and not yet taken, or what stood in the way of each, as far as the first that is still
    /// being read.
    pub(crate) fn finished(&mut self) -> Vec<Result<Picture, String>> {
        let mut finished = Vec::new();
        while let Some(picture) = self.under_way.front().and_then(|first| first.try_recv().ok()) {
            self.under_way.pop_front();
            finished.push(picture);
        }
        finished
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }
}

/// The most pictures that are taken of a folder: more are nothing to ask about at once.
pub(crate) const MOST_DROPPED: usize = 20;

/// The pictures in a folder that holds no model, in the order of their names; none if it is no folder.
pub(crate) fn of_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let ending = |path: &PathBuf| path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let is_one_of = |path: &PathBuf, endings: &[&str]| {
        ending(path).is_some_and(|ending| endings.contains(&ending.as_str()))
    };
    if paths.iter().any(|path| path.ends_with(CONFIG_FILE) || is_one_of(path, &["safetensors", "gguf"])) {
        return Vec::new();
    }
    let mut pictures: Vec<PathBuf> = paths.into_iter().filter(|path| is_one_of(path, &ENDINGS)).collect();
    pictures.sort();
    pictures
}

/// A small copy.
fn drawn(pixels: &RgbImage) -> ColorImage {
    let (width, height) = pixels.dimensions();
    let scale = f64::from(DRAWN_SIDE) / f64::from(width.max(height).max(1));
    if scale >= 1.0 {
        return color_image(pixels);
    }
    let side = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    color_image(&image::imageops::thumbnail(pixels, side(width), side(height)))
}

fn color_image(pixels: &RgbImage) -> ColorImage {
    let (width, height) = pixels.dimensions();
    ColorImage::from_rgb([width as usize, height as usize], pixels.as_raw())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
