"""Writes files of questions and answers made up here, and what VLMEvalKit's own functions make of them, into `recorded`.

    pip install pandas openpyxl xlsxwriter
    python parrot-eval/tests/record.py --fork Parrot/VLMEvalKit --kit VLMEvalKit

Both kits as in `kits.py`. Of benchmarks whose scores were recorded before only the prompts are: to `prompts.jsonl`, as
are those of the others. `rows.jsonl` says which rows, or groups, each kit counts as right, and `expected.json` its scores.
"""

import argparse
import ast
import csv
import json
import math
import random
import string
import tempfile
from pathlib import Path

import pandas as pd
from kits import IMAGE, Kit

RECORDED = Path(__file__).parent / "recorded"

ENGLISH = ["a red car", "two cats", "the left one", "None of these", "12", "nothing", "a cat", "a cat and a dog", "F",
           "Yes", "No", "north-east", "1,200 km", "hydrogen", "a B-side"]
CHINESE = ["一只猫", "两只猫", "红色的车", "什么都没有", "左边的", "3", "黑色", "黑色的"]
OTHER = {
    "ar": ["قطة", "كلب", "نعم", "لا", "سيارة حمراء"], "pt": ["um gato", "dois gatos", "não", "à direita"],
    "ru": ["кошка", "две кошки", "Да", "Нет"], "tr": ["kedi", "ığdır", "İstanbul", "kırmızı araba"],
}
SAID = ["{0}", "{0}", "{0}.", "({0})", "{0}: {1}", "The answer is {0}.", "answer: {0}", "{0} because {2} is wrong",
        "The answer is {0} because {2} is not", "{1}", "It is {1}.", "I think {0} or {2}", "答案是{0}。", "{0}。", "**{0}**",
        "Z", "", "Cannot determine the answer", "I do not know", "{0}\n{1}", "Option {0}", "{0} {0} {0} {0} {0} {0}"]

# Name, columns behind index, image and question, values of columns that are no options, words, options, rows.
SETS = [
    ("MMStar", dict(category=["coarse perception", "math", "logical reasoning"], l2_category=["x", "y"]), ENGLISH, (4, 4), 40),
    ("ScienceQA_TEST", dict(hint=["", "Read the text.", "Look\nat it."], category=["biology", "physics"]), ENGLISH, (2, 5), 40),
    ("ScienceQA_VAL", dict(hint=["", "Read the text."], category=["biology", "maps"], split=["val"]), ENGLISH, (2, 5), 32),
    ("SEEDBench_IMG", dict(category=["Instance Identity", "Text Understanding"]), ENGLISH, (4, 4), 32),
    ("RealWorldQA", dict(), ENGLISH, (2, 4), 32),
    ("AI2D_TEST", dict(category=["foodChains", "atomStructure"]), list("ABFKX") + ["12", "sun"], (4, 4), 40),
    ("AI2D_TEST_NO_MASK", dict(category=["foodChains"]), list("ABFKX") + ["12", "sun"], (4, 4), 24),
    ("MMBench_DEV_EN", dict(hint=["", "Look."], category=["ocr", "image_scene"], split=["dev"]), ENGLISH, (2, 4), 24),
    ("MMBench_DEV_CN", dict(hint=["", "看图。"], category=["ocr", "image_scene"], split=["dev"]), CHINESE, (2, 4), 24),
    ("MMBench_DEV_EN_V11", dict(category=["ocr", "image_scene"], split=["dev"]), ENGLISH, (2, 4), 20),
    ("MMBench_DEV_CN_V11", dict(category=["ocr", "image_scene"], split=["dev"]), ENGLISH[:6] + CHINESE[:2], (2, 4), 20),
    ("x_circular", dict(category=["a", "b"]), ENGLISH, (2, 4), 20),
    ("mmmb_en", dict(category=["ocr", "count"]), ENGLISH, (2, 4), 20),
    ("mmmb_cn", dict(category=["ocr", "count"]), CHINESE, (2, 4), 20),
    *((f"mmmb_{code}", dict(category=["ocr", "count"]), words, (2, 4), 20) for code, words in OTHER.items() if code != "tr"),
    # Not `_en` and `_cn`: where letter case counts for nothing, they would be the files above.
    *((f"mmbench_dev_{code}", dict(category=["ocr"]), words, (2, 4), 12) for code, words in OTHER.items() if code != "tr"),
]
ABILITY = {"ocr": "finegrained_perception (instance-level)", "image_scene": "coarse_perception"}


def is_circular(name):
    return "mmbench" in name.lower() or "circular" in name


def question(chance, number, name):
    if name.lower().endswith(("_cn", "_cn_v11")):
        return chance.choice([f"这是什么（{number}）？", f"2 + {number}?"])
    return chance.choice([f"What is it ({number})?", f"Which of these, \"{number}\"?", f"Look:\n{number}?"])


def write_questions(chance, name, extra, words, options, count):
    """The rows, of MMBench and its like in all rotations of their options."""
    rows = []
    for number in range(1, count + 1):
        shown = chance.sample(words, min(len(words), chance.randint(*options)))
        answer = chance.randrange(len(shown))
        cells = {column: chance.choice(values) for column, values in extra.items()}
        if "mmbench" in name.lower():
            cells["l2-category"] = ABILITY[cells["category"]]
        asked = question(chance, number, name)
        for turn in range(chance.choice([1, 2, len(shown)]) if is_circular(name) else 1):
            turned = shown[turn:] + shown[:turn]
            letters = dict(zip(string.ascii_uppercase, turned))
            rows.append({
                "index": number + 1_000_000 * turn, "image": IMAGE if not rows else 1, "question": asked, **letters,
                "answer": string.ascii_uppercase[(answer - turn) % len(shown)], **cells,
            })
    columns = ["index", "image", "question", *string.ascii_uppercase[:options[1]], "answer", *extra]
    columns += ["l2-category"] if "mmbench" in name.lower() else []
    file = RECORDED / f"kit_{name}.tsv"
    pd.DataFrame(rows, columns=columns).to_csv(file, sep="\t", index=False)
    return file, rows


def write_answers(chance, file, rows):
    """An answer to each row, and the same with two missing and two doubled."""
    said = {}
    for row in rows:
        letters = [letter for letter in string.ascii_uppercase if isinstance(row.get(letter), str)]
        # Half of them right, so that groups are.
        letter = row["answer"] if chance.random() < 0.6 else chance.choice(letters)
        said[row["index"]] = chance.choice(SAID).format(letter, row[letter], chance.choice(letters))
    tags = {"all": list(said.items())}
    left_out, doubled = chance.sample(list(said), 2), chance.sample(list(said), 2)
    part = [(index, text) for index, text in said.items() if index not in left_out]
    tags["part"] = part + [(index, text) for index, text in part if index in doubled]
    for tag, answers in tags.items():
        lines = (json.dumps({"index": index, "prediction": text}, ensure_ascii=False) for index, text in answers)
        file.with_name(f"{file.stem}_{tag}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return tags


def scored(kit, file, answers, name):
    """What a kit prints, in percent, and the indices that it counts as right; as its `evaluate` without a judge does it."""
    meta = kit.dataset(file)
    place = {index: at for at, index in enumerate(meta["index"])}
    data = meta.iloc[[place[index] for index, _ in answers]].copy()
    data["prediction"] = [text for _, text in answers]
    with tempfile.TemporaryDirectory() as folder:
        table, result = f"{folder}/answers.xlsx", f"{folder}/result.pkl"
        kit.dump(data, table)
        data = kit.load(table).sort_values(by="index")
        data["prediction"] = [str(x) for x in data["prediction"]]
        for key in list(data.keys()):
            data[key if key in string.ascii_uppercase else key.lower()] = data.pop(key)
        is_grouped = is_circular(name) and not (kit.is_fork and "circular" in name)
        count = kit.names["mcq_circular_eval" if is_grouped else "mcq_vanilla_eval"]
        data = count(None, data, meta, 1, result, name)
        kit.dump(data, table)
        data = kit.load(table)
        printed = kit.names["report_acc"](data)
        values = {key: 100 * float(printed[key][0]) for key in printed if key != "split"}
        assert len(printed["split"]) == 1 and not any(map(math.isnan, values.values())), printed
        return values, sorted(int(index) for index, hit in zip(data["index"], data["hit"]) if hit)


def set_name(file):
    """Under which name a kit runs a recorded file."""
    stem = file.stem.removeprefix("kit_")
    names = {"pope": "POPE", "mme": "MME", "hallusionbench": "HallusionBench", "textvqa": "TextVQA_VAL", "mtvqa": "MTVQA_TEST",
             "ocrbench": "OCRBench", "llavabench": "LLaVABench", "mmmu_dev_val": "MMMU_DEV_VAL"}
    return names.get(stem, stem)


class Parent:
    """`ImageBaseDataset.build_prompt` without the pictures: the question alone, which others add to."""

    def build_prompt(self, line):
        return [{"type": "image"}, {"type": "text", "value": line["question"]}]


def word_prompt(kit_root, name, line):
    """The prompt of an open question: the dataset's own, as `Parrot.use_custom_prompt` leaves these to it."""
    classes = {"TextVQA_VAL": "ImageVQADataset", "MTVQA_TEST": "MTVQADataset"}
    if name not in classes:
        return line["question"]
    source = kit_root / "vlmeval/dataset/image_vqa.py"
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ClassDef) and node.name == classes[name]:
            build = next(part for part in node.body if getattr(part, "name", "") == "build_prompt")
            scope = {"Parent": Parent}
            node = ast.ClassDef("Asks", [ast.Name("Parent", ast.Load())], [], [build], [])
            exec(compile(ast.fix_missing_locations(ast.Module([node], [])), str(source), "exec"), scope)
            return scope["Asks"]().build_prompt(line)[-1]["value"]
    raise LookupError(name)


def prompts(kits, kit_root, file, most=40):
    """Lines of `prompts.jsonl`: what `Parrot` of both kits asks, run by the file's own name and as the collection MMMB."""
    name, lines = set_name(file), []
    meta = kits[0].dataset(file)
    for at in range(min(len(meta), most)):
        line = meta.iloc[at]
        for run_as in ["dataset", "collection"]:
            asked_as = name if run_as == "dataset" else "MMMB"
            if name in ("POPE", "MME", "HallusionBench"):
                asked = {kit.names["built_yorn_prompt"](None, line, asked_as) for kit in kits}
            elif name in ("OCRBench", "LLaVABench", "TextVQA_VAL", "MTVQA_TEST"):
                asked = {word_prompt(kit_root, name, line)}
            else:
                asked = {kit.names["build_multi_choice_prompt"](None, line, asked_as) for kit in kits}
            assert len(asked) == 1, asked
            lines.append({"file": file.name, "run_as": run_as, "index": str(line["index"]), "prompt": asked.pop()})
    # Said once where the name makes no difference.
    by_index = {}
    for line in lines:
        by_index.setdefault(line["index"], {})[line["run_as"]] = line["prompt"]
    return [
        {"file": file.name, "index": index, "dataset": asked["dataset"]}
        | ({} if asked["collection"] == asked["dataset"] else {"collection": asked["collection"]})
        for index, asked in by_index.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fork", type=Path, required=True)
    parser.add_argument("--kit", type=Path, required=True)
    options = parser.parse_args()
    kits = [Kit(options.fork, "kit-2024-08"), Kit(options.kit, "kit-2026-08")]
    csv.field_size_limit(1 << 30)
    expected = json.loads((RECORDED / "expected.json").read_text())
    rows_right = []
    for number, (name, extra, words, letters, count) in enumerate(SETS):
        chance = random.Random(number)
        file, rows = write_questions(chance, name, extra, words, letters, count)
        expected[file.stem] = {}
        for tag, answers in write_answers(chance, file, rows).items():
            expected[file.stem][tag] = {}
            for kit in kits:
                values, right = scored(kit, file, answers, name)
                expected[file.stem][tag][kit.protocol] = values
                if tag == "all":
                    rows_right.append({"file": file.name, "protocol": kit.protocol, "right": right})
    (RECORDED / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False))
    with open(RECORDED / "rows.jsonl", "w") as lines:
        lines.writelines(json.dumps(line) + "\n" for line in rows_right)
    with open(RECORDED / "prompts.jsonl", "w") as lines:
        for file in sorted(RECORDED.glob("kit_*.tsv")):
            lines.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in prompts(kits, options.kit, file, 12))
    print(f"{len(SETS)} files")


if __name__ == "__main__":
    main()
