//! Text in any direction: for reading, and for writing.

use std::sync::Arc;

use eframe::egui::text::{CCursor, CCursorRange, LayoutJob};
use eframe::egui::text_edit::TextEditOutput;
use eframe::egui::{
    Align, Color32, FontId, Galley, Key, KeyboardShortcut, Label, Mesh, Modifiers, Rect, Response, Sense,
    TextBuffer, TextEdit, Ui, WidgetInfo, accesskit::Role, pos2, vec2,
};

use crate::bidi::{self, Line, Piece};
use crate::fonts;

/// Shows a text, broken into lines; one that runs from right to left begins at the right.
pub(crate) fn show(ui: &mut Ui, text: &str, size: f32, color: Color32) -> Response {
    if !bidi::runs_right_to_left(text) {
        // Flush left wherever it stands: a label takes its place's justification, and stretches what it breaks.
        let job = LayoutJob::simple(text.into(), FontId::proportional(size), color, ui.available_width());
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        return ui.add(Label::new(galley));
    }
    let available = ui.available_width();
    let lines = bidi::lines(ui, text, &fonts::right_to_left(size), color, available);
    let height = line_height(ui, size);
    let content = lines.iter().fold(0.0, |width: f32, line| width.max(line.width));
    // Where everything is put at the right, no more room is taken than needed.
    let width = if ui.layout().horizontal_align() == Align::Max { content.min(available) } else { available };
    let (place, response) = ui.allocate_exact_size(vec2(width, height * lines.len() as f32), Sense::hover());
    for (at, line) in lines.iter().enumerate() {
        let left = if line.is_right_to_left { place.right() - line.width } else { place.left() };
        let top = place.top() + at as f32 * height;
        for piece in &line.pieces {
            ui.painter().galley(pos2(left + piece.x, top), Arc::clone(&piece.galley), color);
        }
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    response
}

/// A field for a text of several lines, which the return key does not break: that asks, with shift it breaks the line.
///
/// - name: for those who cannot see it
pub(crate) fn edit(ui: &mut Ui, name: &str, text: &mut String, hint: &str, rows: usize) -> TextEditOutput {
    let size = 16.0;
    let color = ui.visuals().widgets.inactive.fg_stroke.color;
    let mut layouter =
        |ui: &Ui, text: &dyn TextBuffer, width: f32| galley(ui, text.as_str(), size, color, width);
    let field = TextEdit::multiline(text)
        // By its name, not its place: it keeps the keyboard when something appears above it.
        .id_salt(name)
        .hint_text(hint)
        .font(FontId::proportional(size))
        .desired_width(f32::INFINITY)
        .desired_rows(rows)
        .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter))
        .layouter(&mut layouter);
    let mut output = field.show(ui);
    let label = name.to_owned();
    ui.ctx().accesskit_node_builder(output.response.id, |node| node.set_label(label));
    place_cursor(ui, &mut output);
    output
}

/// A click in a text that runs from right to left: egui looks for the first letter to the right of it, and takes the first
/// of all.
fn place_cursor(ui: &Ui, output: &mut TextEditOutput) {
    let Some(clicked) = output.response.interact_pointer_pos().filter(|_| output.response.clicked()) else {
        return;
    };
    if !bidi::runs_right_to_left(output.galley.text()) {
        return;
    }
    let at = clicked - output.galley_pos;
    let mut first = 0;
    for row in &output.galley.rows {
        let letters = row.glyphs.len();
        if at.y < row.rect().bottom() {
            let edges = row.glyphs.iter().map(|glyph| glyph.pos.x).chain([row.size.x]);
            let distance = |(_, edge): &(usize, f32)| (row.pos.x + edge - at.x).abs();
            let nearest = edges.enumerate().min_by(|one, other| distance(one).total_cmp(&distance(other)));
            let index = first + nearest.map_or(0, |(index, _)| index);
            output.state.cursor.set_char_range(Some(CCursorRange::one(CCursor::new(index))));
            output.state.clone().store(ui.ctx(), output.response.id);
            return;
        }
        first += letters + usize::from(row.ends_with_newline);
    }
}

fn line_height(ui: &Ui, size: f32) -> f32 {
    ui.fonts_mut(|fonts| fonts.row_height(&fonts::right_to_left(size)))
}

/// What a field shows. egui moves its cursor by letters in reading order, and draws it at the left edge of the letter behind it,
/// or at the end of the row: so letters are given to it in reading order, with the edge where they begin.
fn galley(ui: &Ui, text: &str, size: f32, color: Color32, width: f32) -> Arc<Galley> {
    let plain =
        |text: String| ui.fonts_mut(|fonts| fonts.layout(text, FontId::proportional(size), color, width));
    let of_egui = plain(text.into());
    if !bidi::runs_right_to_left(text) {
        return of_egui;
    }
    let lines = bidi::lines(ui, text, &fonts::right_to_left(size), color, width);
    let height = line_height(ui, size);
    let mut galley = (*of_egui).clone();
    let (Some(row), Some(letter)) = (galley.rows.first().cloned(), glyph_of(&of_egui)) else {
        return of_egui;
    };
    galley.rows.clear();
    (galley.mesh_bounds, galley.num_vertices, galley.num_indices) = (Rect::NOTHING, 0, 0);
    for (at, line) in lines.iter().enumerate() {
        let left = if line.is_right_to_left { (width - line.width).max(0.0) } else { 0.0 };
        let mut placed = row.clone();
        placed.pos = pos2(left, at as f32 * height);
        placed.ends_with_newline = line.ends_paragraph;
        let row = Arc::make_mut(&mut placed.row);
        row.glyphs = line
            .pieces
            .iter()
            .flat_map(|piece| edges(piece, text))
            .map(|(chr, x)| {
                let mut glyph = letter;
                (glyph.chr, glyph.pos.x, glyph.advance_width, glyph.first_vertex) = (chr, x, 0.0, 0);
                glyph
            })
            .collect();
        row.size = vec2(end(line), height);
        row.visuals.mesh = mesh(line);
        row.visuals.mesh_bounds = row.visuals.mesh.calc_bounds();
        (row.visuals.glyph_index_start, row.visuals.glyph_vertex_range) = (0, 0..0);
        galley.mesh_bounds |= row.visuals.mesh_bounds.translate(placed.pos.to_vec2());
        galley.num_vertices += row.visuals.mesh.vertices.len();
        galley.num_indices += row.visuals.mesh.indices.len();
        galley.rows.push(placed);
    }
    galley.rect = Rect::from_min_size(pos2(0.0, 0.0), vec2(width, height * lines.len() as f32));
    galley.elided = false;
    Arc::new(galley)
}

/// Any glyph, for the measures that all of a font have.
fn glyph_of(galley: &Galley) -> Option<eframe::egui::epaint::text::Glyph> {
    galley.rows.iter().find_map(|row| row.glyphs.first().copied())
}

/// The letters of a piece, and where each begins.
fn edges<'a>(piece: &'a Piece, text: &'a str) -> impl Iterator<Item = (char, f32)> + 'a {
    let letters = text[piece.bytes.clone()].chars().count().max(1);
    // Letters of a ligature, and marks on one, have no place of their own: the word is shared out evenly, which differs from
    // the letters' true edges by less than one.
    let step = piece.width() / letters as f32;
    text[piece.bytes.clone()].chars().enumerate().map(move |(at, letter)| {
        let from = if piece.is_right_to_left() { letters - at } else { at };
        (letter, piece.x + from as f32 * step)
    })
}

/// Where a line ends.
fn end(line: &Line) -> f32 {
    let Some(last) = line.pieces.last() else { return line.width };
    if last.is_right_to_left() { last.x } else { last.x + last.width() }
}

/// What a line draws.
fn mesh(line: &Line) -> Mesh {
    let mut mesh = Mesh::default();
    for piece in &line.pieces {
        for row in &piece.galley.rows {
            let mut word = row.visuals.mesh.clone();
            word.vertices.iter_mut().for_each(|vertex| vertex.pos.x += piece.x);
            mesh.append(word);
        }
    }
    mesh
}
