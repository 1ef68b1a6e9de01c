//! The published files and their sums.

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// The dataset's name in VLMEvalKit.
    pub id: &'static str,
    /// MD5 of its file, in lower-case hexadecimal digits.
    pub md5: &'static str,
}

impl KnownFile {
    /// Its file's name without the ending: Parrot's own in lower case, `mmmb_ar` for `MMMB_ar`, all others as they are.
    #[must_use]
    pub fn stem(&self) -> String {
        let is_parrots = self.id.starts_with("MMMB_") || self.id.starts_with("MMBench_dev_");
        if is_parrots { self.id.to_ascii_lowercase() } else { self.id.into() }
    }
}

const fn known(id: &'static str, md5: &'static str) -> KnownFile {
    KnownFile { id, md5 }
}

/// All of them, with the sums that VLMEvalKit (e8e78f0) compares; the file of `MMMB_ar` is `mmmb_ar.tsv`.
pub(crate) const KNOWN_FILES: [KnownFile; 31] = [
    known("MMMB_ar", "f3a18b6385f1d9701840aa42de27aead"),
    known("MMMB_cn", "13ed82fa89730037292fcaa27f08f430"),
    known("MMMB_en", "1cd781a71ec5a2983c090b84105d6a01"),
    known("MMMB_pt", "548ea2b3bb2da991790386f0015d30d1"),
    known("MMMB_ru", "ce1cc8a0533425ab0d86b326ebfc2984"),
    known("MMMB_tr", "0733739d43090327975294292bc5cd67"),
    known("MMBench_dev_ar", "4271b4a0d0200e1a86380a878e0d64a4"),
    known("MMBench_dev_cn", "2ed5135326fed02c8e51ea50dda8222f"),
    known("MMBench_dev_en", "d9ab776fc018b3d45785e9a5c23431c2"),
    known("MMBench_dev_pt", "4ddfbcd27ef12444b908c03831cd0295"),
    known("MMBench_dev_tr", "4fab39d501389d3d6cc90264bb708f11"),
    known("MMBench_dev_ru", "5ba1171ff2e68f80637bf78349e402a5"),
    known("POPE", "c12f5acb142f2ef1f85a26ba2fbe41d5"),
    known("MME", "b36b43c3f09801f5d368627fb92187c3"),
    known("MMBench_DEV_EN", "b6caf1133a01c6bb705cf753bb527ed8"),
    known("MMBench_DEV_CN", "08b8fc3324a5ed74155350f57be69fbd"),
    known("MMBench_DEV_EN_V11", "30c05be8f2f347a50be25aa067248184"),
    known("MMBench_DEV_CN_V11", "593f9b5f6bea453d870a798b34ae4f37"),
    known("MMStar", "e1ecd2140806c1b1bbf54b43372efb9e"),
    known("ScienceQA_VAL", "96320d05e142e585e7204e72affd29f3"),
    known("ScienceQA_TEST", "e42e9e00f9c59a80d8a5db35bc32b71f"),
    known("SEEDBench_IMG", "68017231464752261a2526d6ca3a10c0"),
    known("RealWorldQA", "4de008f55dc4fd008ca9e15321dc44b7"),
    known("AI2D_TEST", "0f593e0d1c7df9a3d69bf1f947e71975"),
    known("AI2D_TEST_NO_MASK", "fd8f463634d4fe9fbd23b876e8eea5be"),
    known("MMMU_DEV_VAL", "585e8ad75e73f75dcad265dfd0417d64"),
    known("LLaVABench", "d382a093f749a697820d3dadd61c8428"),
    known("HallusionBench", "0c23ac0dc9ef46832d7a24504f2a0c7c"),
    known("OCRBench", "e953d98a987cc6e26ef717b61260b778"),
    known("TextVQA_VAL", "b233b31f551bbf4056f2f955da3a92cd"),
    known("MTVQA_TEST", "d87c17dbab934b7cd89c0a3c1c5657f4"),
];

/// The published file that has this name without its ending, or whose dataset has it.
///
/// Letter case counts: `MMBench_DEV_EN.tsv` is VLMEvalKit's own file, `mmbench_dev_en.tsv` Parrot's.
#[must_use]
pub(crate) fn known_file(stem: &str) -> Option<&'static KnownFile> {
    KNOWN_FILES.iter().find(|known| known.id == stem || known.stem() == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_file_it_is() {
        assert_eq!(known_file("mmmb_tr").unwrap().id, "MMMB_tr");
        assert_eq!(known_file("MME").unwrap().id, "MME");
        assert_eq!(known_file("MMMB_tr").unwrap().stem(), "mmmb_tr");
        assert_eq!(known_file("mmbench_dev_en").unwrap().id, "MMBench_dev_en");
        assert_eq!(known_file("MMBench_DEV_EN").unwrap().id, "MMBench_DEV_EN");
        assert_eq!(known_file("ScienceQA_TEST").unwrap().stem(), "ScienceQA_TEST");
        for other in ["mini_mmmb_tr", "scienceqa_test", "pope"] {
            assert!(known_file(other).is_none(), "{other}");
        }
        assert!(KNOWN_FILES.iter().all(|known| known.md5.len() == 32));
    }
}
