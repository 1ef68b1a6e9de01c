//! The experiment's tables and pictures.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::Statistics;

use super::measure::{Measured, Tally};
use super::{Arm, Scale};
use crate::language::Language;

/// Writes `results.json`, `accuracy.svg` and, where an arm has experts, `routing.svg` into `out`.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(scale: &Scale, measured: &[Measured], out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let results = serde_json::json!({ "scale": scale, "measured": measured });
    crate::build::write(&out.join("results.json"), &(serde_json::to_string_pretty(&results)? + "\n"))?;
    draw_accuracy(measured, &out.join("accuracy.svg"))?;
    draw_routing(measured, &out.join("routing.svg"))
}

/// The tables as Markdown.
#[must_use]
pub fn markdown(measured: &[Measured]) -> String {
    let mut text =
        String::from("Right open answers in percent, mean over the seeds ± 95 % confidence interval:\n\n");
    text += &by_arm(measured, Tally::accuracy);
    text += "\nAnswers in another language than the question's, in percent:\n\n";
    text += &by_arm(measured, Tally::confusion);
    text += "\nDifferences between arms with the same seed, in points of right answers:\n\n";
    text += "| difference | English | the five others |\n|---|--:|--:|\n";
    for (name, arm, other) in [
        ("mixture − dense, imbalanced", Arm::ImbalancedMoe, Arm::ImbalancedDense),
        ("mixture − control, imbalanced", Arm::ImbalancedMoe, Arm::ImbalancedControl),
        ("balanced − imbalanced, dense", Arm::Balanced, Arm::ImbalancedDense),
        ("imbalanced − English only, dense", Arm::ImbalancedDense, Arm::EnglishOnly),
    ] {
        let cell = |languages: &[Language]| interval(&differences(measured, arm, other, languages));
        let _ = writeln!(text, "| {name} | {} | {} |", cell(&Language::ALL[..1]), cell(&Language::ALL[1..]));
    }
    text
}

/// A row per arm: each language, and the mean of the five that are not English.
fn by_arm(measured: &[Measured], value: fn(&Tally) -> f64) -> String {
    let codes = Language::ALL.map(Language::code).join(" | ");
    let mut text = format!("| arm | {codes} | the five others |\n|---|{}\n", "--:|".repeat(7));
    for arm in Arm::ALL {
        let groups = Language::ALL.iter().map(std::slice::from_ref).chain([&Language::ALL[1..]]);
        let cells: Vec<String> =
            groups.map(|languages| interval(&by_seed(measured, arm, languages, value))).collect();
        let _ = writeln!(text, "| {} | {} |", arm.name(), cells.join(" | "));
    }
    text
}

/// One number per seed: the mean over some languages.
fn by_seed(
    measured: &[Measured],
    arm: Arm,
    languages: &[Language],
    value: impl Fn(&Tally) -> f64,
) -> Vec<f64> {
    let of_arm = measured.iter().filter(|result| result.arm == arm);
    let mean = |result: &Measured| {
        languages.iter().map(|language| value(&result.languages[language])).sum::<f64>()
            / languages.len() as f64
    };
    of_arm.map(mean).collect()
}

fn differences(measured: &[Measured], arm: Arm, other: Arm, languages: &[Language]) -> Vec<f64> {
    let accuracy = |arm| by_seed(measured, arm, languages, Tally::accuracy);
    accuracy(arm).into_iter().zip(accuracy(other)).map(|(a, b)| a - b).collect()
}

/// Mean and half the width of Student's 95 % interval over the seeds; one seed has no interval.
fn mean_and_half_width(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.mean();
    let half = StudentsT::new(0.0, 1.0, count - 1.0)
        .map_or(f64::NAN, |t| t.inverse_cdf(0.975) * values.std_dev() / count.sqrt());
    (mean, half)
}

fn interval(values: &[f64]) -> String {
    let (mean, half) = mean_and_half_width(values);
    if half.is_nan() { format!("{mean:.1}") } else { format!("{mean:.1} ± {half:.1}") }
}

/// Bars: a group per language, a bar per arm, a whisker for the interval.
fn draw_accuracy(measured: &[Measured], out: &Path) -> Result<()> {
    const COLOURS: [RGBColor; 5] = [
        RGBColor(150, 150, 150),
        RGBColor(120, 160, 210),
        RGBColor(210, 90, 60),
        RGBColor(230, 170, 90),
        RGBColor(90, 160, 100),
    ];
    let root = SVGBackend::new(out, (1000, 420)).into_drawing_area();
    root.fill(&WHITE).with_context(|| format!("cannot write {}", out.display()))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..6.0, 0.0..100.0)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("right open answers, %")
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (arm, colour) in Arm::ALL.into_iter().zip(COLOURS) {
        let left = |group: usize| group as f64 + 0.08 + 0.165 * arm as usize as f64;
        let values = Language::ALL
            .map(|language| mean_and_half_width(&by_seed(measured, arm, &[language], Tally::accuracy)));
        let bars = values.iter().enumerate().map(|(group, (mean, _))| {
            Rectangle::new([(left(group), 0.0), (left(group) + 0.15, *mean)], colour.filled())
        });
        chart
            .draw_series(bars)?
            .label(arm.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let whiskers = values.iter().enumerate().filter(|(_, (_, half))| half.is_finite());
        chart.draw_series(whiskers.map(|(group, (mean, half))| {
            let x = left(group) + 0.075;
            PathElement::new(vec![(x, (mean - half).max(0.0)), (x, (mean + half).min(100.0))], BLACK)
        }))?;
    }
    for (group, language) in Language::ALL.iter().enumerate() {
        let at = chart.backend_coord(&(group as f64 + 0.5, 0.0));
        root.draw(&Text::new(language.code(), (at.0 - 6, at.1 + 8), ("sans-serif", 16)))?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(TRANSPARENT).draw()?;
    root.present().with_context(|| format!("cannot write {}", out.display()))
}

/// Heat maps: a panel per run with experts, a row per language, a column per expert.
fn draw_routing(measured: &[Measured], out: &Path) -> Result<()> {
    const CELL: i32 = 40;
    let routed: Vec<&Measured> = Arm::ALL
        .iter()
        .flat_map(|arm| measured.iter().filter(move |result| result.arm == *arm && arm.uses_moe()))
        .collect();
    let columns = routed.iter().filter(|result| result.arm == Arm::ImbalancedMoe).count().max(1);
    let rows = routed.len().div_ceil(columns).max(1);
    let size = ((columns as i32 * (7 * CELL + 20)) as u32, (rows as i32 * (6 * CELL + 50)) as u32);
    let root = SVGBackend::new(out, size).into_drawing_area();
    root.fill(&WHITE).with_context(|| format!("cannot write {}", out.display()))?;
    for (panel, result) in root.split_evenly((rows, columns)).iter().zip(routed) {
        let title = format!("{}, seed {}", result.arm.name(), result.seed);
        panel.draw(&Text::new(title, (CELL, 8), ("sans-serif", 15)))?;
        for (row, (language, tally)) in result.languages.iter().enumerate() {
            let y = 30 + row as i32 * CELL;
            panel.draw(&Text::new(language.code(), (14, y + 12), ("sans-serif", 14)))?;
            for (column, weight) in tally.routing.iter().enumerate() {
                let x = CELL + column as i32 * CELL;
                let colour = HSLColor(0.6, 0.6, 1.0 - 0.6 * weight);
                panel.draw(&Rectangle::new([(x, y), (x + CELL - 2, y + CELL - 2)], colour.filled()))?;
                let ink = if *weight > 0.6 { WHITE } else { BLACK };
                let style = ("sans-serif", 12).into_font().color(&ink);
                panel.draw(&Text::new(format!("{weight:.2}"), (x + 7, y + 13), style))?;
            }
        }
    }
    root.present().with_context(|| format!("cannot write {}", out.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn measured(arm: Arm, seed: u64, right: usize) -> Measured {
        let routing = if arm.uses_moe() { vec![1.0 / 6.0; 6] } else { Vec::new() };
        let tally = Tally { asked: 100, right, wrong_language: 1, routing };
        Measured {
            arm,
            seed,
            languages: Language::ALL.map(|l| (l, tally.clone())).into_iter().collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn the_interval_is_students() {
        // Of 1, 2, 3: standard deviation 1, so 4.303 / √3.
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (half - 2.4843).abs() < 1e-3, "{mean} {half}");
        assert_eq!(interval(&[7.0]), "7.0");
    }

    #[test]
    fn differences_are_between_runs_of_one_seed() {
        let runs: Vec<Measured> = (0..3)
            .flat_map(|seed| {
                let right = 40 + 10 * seed as usize;
                [measured(Arm::ImbalancedDense, seed, right), measured(Arm::ImbalancedMoe, seed, right + 5)]
            })
            .collect();
        let gain = differences(&runs, Arm::ImbalancedMoe, Arm::ImbalancedDense, &Language::ALL[1..]);
        assert_eq!(gain, [5.0; 3]);
    }

    #[test]
    fn tables_and_images_have_every_arm() {
        let runs: Vec<Measured> =
            Arm::ALL.into_iter().flat_map(|arm| (0..2).map(move |seed| measured(arm, seed, 50))).collect();
        let text = markdown(&runs);
        assert!(Arm::ALL.iter().all(|arm| text.contains(arm.name())) && !text.contains("NaN"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let scale = Scale {
            seeds: 2,
            language_steps: 1,
            alignment_steps: 1,
            projector_steps: 1,
            instruction_steps: 1,
            scenes: 1,
        };
        write(&scale, &runs, folder.path()).unwrap();
        let routing = std::fs::read_to_string(folder.path().join("routing.svg")).unwrap();
        assert!(routing.contains("imbalanced-control, seed 1") && routing.contains("0.17"));
    }
}
