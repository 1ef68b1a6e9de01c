"""Answers of an exported Parrot in transformers: `python exported.py FOLDER PICTURES OUT`.

With torch and one of transformers 4.39 to 5.x; the test `exported` runs it and compares the answers with its own.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

QUESTIONS = ["What is this?", "这是什么？", "O que é isto?", "ما هذا؟", "Bu nedir?", "Что это?", "What is in the middle?"]

folder, pictures, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, torch_dtype=torch.float32)
files = sorted(Path(pictures).glob("*.png"))
sets = [[file] for file in files] + [files[:2], []]
answers = []
for files in sets:
    for question in QUESTIONS if len(files) == 1 else QUESTIONS[:1]:
        answer = model.answer(tokenizer, question, *map(Image.open, files), max_new_tokens=40)
        answers.append({"pictures": [str(file) for file in files], "question": question, "answer": answer})
text = json.dumps({"version": transformers.__version__, "answers": answers}, ensure_ascii=False, indent=1)
Path(out).write_text(text, encoding="utf-8")
