//! What the paper's table 2 gives for MMMB and MMBench (arXiv 2406.02539, versions 1 and 2).
//!
//! On MMMB these are paired scores: only [`Protocol::Paper2024_06`](crate::Protocol::Paper2024_06) may be compared
//! with them. About half of the cells are truncated to two decimals instead of rounded.

/// A system's row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The system, its language model in parentheses.
    pub system: &'static str,
    /// Percent in English, Chinese, Portuguese, Arabic, Turkish and Russian.
    pub by_language: [f64; 6],
}

const fn row(system: &'static str, by_language: [f64; 6]) -> Published {
    Published { system, by_language }
}

const MMMB: [Published; 19] = [
    row("LLaVA-1.5 (Vicuna-7B)", [67.07, 58.83, 59.76, 43.50, 46.43, 59.06]),
    row("LLaVA-1.5 (Vicuna-13B)", [69.76, 62.86, 60.76, 45.49, 54.44, 62.69]),
    row("LLaVA-NeXT (Vicuna-7B)", [70.87, 61.57, 61.81, 42.74, 46.95, 63.85]),
    row("LLaVA-NeXT (Vicuna-13B)", [74.44, 67.19, 63.21, 45.36, 53.09, 68.24]),
    row("Qwen-VL (Qwen-7B)", [52.63, 36.37, 38.65, 36.54, 37.42, 40.70]),
    row("Qwen-VL-Chat", [56.02, 57.77, 46.37, 43.04, 41.05, 48.65]),
    row("MiniGPT-4-v2 (LLaMA2-13B)", [38.71, 30.05, 31.52, 26.60, 26.02, 29.23]),
    row("ShareGPT4V (Vicuna-7B)", [69.24, 60.23, 60.29, 43.57, 45.26, 61.23]),
    row("InstructBLIP (Vicuna-7B)", [39.47, 32.92, 35.67, 23.80, 28.36, 36.37]),
    row("mPLUG-Owl2 (LLaMA2-7B)", [67.25, 60.99, 59.70, 45.78, 45.43, 62.63]),
    row("Monkey (Qwen-VL-7B)", [66.02, 58.18, 46.31, 38.83, 37.66, 48.59]),
    row("Monkey-chat", [71.63, 66.54, 60.35, 48.77, 46.31, 58.59]),
    row("VisualGLM (ChatGLM-6B)", [31.05, 18.07, 19.42, 15.38, 22.81, 19.77]),
    row("VisCPM-Chat (CPM-Bee-10B)", [53.10, 47.54, 28.19, 26.90, 26.78, 26.84]),
    row("Parrot (Qwen1.5-7B)", [70.00, 68.13, 67.31, 62.69, 58.01, 66.26]),
    row("Parrot (Qwen1.5-14B)", [73.92, 71.64, 69.82, 68.13, 64.33, 70.18]),
    row("GPT-4V", [74.97, 74.21, 71.46, 73.51, 68.95, 73.10]),
    row("Gemini Pro", [75.03, 71.87, 70.64, 69.94, 69.59, 72.69]),
    row("Qwen-VL-MAX", [77.19, 75.26, 72.16, 70.82, 66.02, 74.21]),
];

const MMBENCH: [Published; 19] = [
    row("LLaVA-1.5 (Vicuna-7B)", [65.37, 58.33, 59.02, 36.16, 43.90, 56.95]),
    row("LLaVA-1.5 (Vicuna-13B)", [68.98, 63.23, 62.97, 46.56, 53.17, 61.59]),
    row("LLaVA-NeXT (Vicuna-7B)", [67.95, 60.56, 60.39, 38.40, 45.36, 59.62]),
    row("LLaVA-NeXT (Vicuna-13B)", [70.87, 64.51, 64.08, 45.36, 52.92, 61.85]),
    row("Qwen-VL (Qwen-7B)", [42.26, 22.25, 25.08, 18.72, 26.37, 28.17]),
    row("Qwen-VL-Chat", [54.29, 56.52, 43.12, 35.73, 39.17, 42.86]),
    row("MiniGPT-4-v2 (LLaMA2-13B)", [23.88, 11.76, 14.26, 2.49, 6.78, 12.54]),
    row("ShareGPT4V (Vicuna-7B)", [69.59, 61.60, 59.62, 37.37, 43.38, 59.45]),
    row("InstructBLIP (Vicuna-7B)", [27.83, 18.81, 27.14, 3.26, 8.50, 20.87]),
    row("mPLUG-Owl2 (LLaMA2-7B)", [66.15, 59.36, 58.24, 37.88, 47.68, 60.39]),
    row("Monkey (Qwen-VL-7B)", [58.07, 53.52, 49.57, 31.01, 31.35, 45.18]),
    row("Monkey-chat", [70.79, 65.72, 65.03, 46.90, 48.10, 59.36]),
    row("VisualGLM (ChatGLM-6B)", [23.20, 17.18, 11.43, 2.92, 6.62, 5.33]),
    row("VisCPM-Chat (CPM-Bee-10B)", [45.88, 46.39, 15.81, 1.46, 9.19, 1.20]),
    row("Parrot (Qwen1.5-7B)", [70.70, 70.36, 65.12, 57.82, 58.43, 64.00]),
    row("Parrot (Qwen1.5-14B)", [74.40, 72.25, 69.16, 66.15, 64.52, 69.33]),
    row("GPT-4V", [77.60, 74.40, 72.51, 72.34, 70.53, 74.83]),
    row("Gemini Pro", [73.63, 72.08, 70.27, 61.08, 69.76, 70.45]),
    row("Qwen-VL-MAX", [76.80, 77.58, 74.57, 75.00, 69.07, 75.00]),
];

/// The rows for `MMMB` or `MTL_MMBench_DEV`; none for any other name.
#[must_use]
pub fn published(collection: &str) -> &'static [Published] {
    match collection {
        "MMMB" => &MMMB,
        "MTL_MMBench_DEV" => &MMBENCH,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's MMMB cells are k/1710, truncated or rounded: a slip of a digit would show.
    #[test]
    fn cells_are_fractions_of_the_denominator_found() {
        for row in &MMMB[14..] {
            for value in row.by_language {
                let k = (value * 1710.0 / 100.0_f64).round();
                let fits = [k, k + 1.0].iter().any(|k| (k * 100.0 / 1710.0 - value).abs() < 0.0101);
                assert!(fits, "{}: {value} is no k/1710", row.system);
            }
        }
        assert_eq!(published("MTL_MMBench_DEV")[15].by_language[3], 66.15);
        assert!(published("mini_mmmb").is_empty());
    }
}
