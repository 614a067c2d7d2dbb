#!/usr/bin/env python3
"""Serves an engine for sound over HTTP, in the shapes that Gantry and OpenAI's clients know:

    serve.py ENGINE --port PORT [--model M] [--device cuda] [--compute-type float16] ...

  faster-whisper  speech       pip install faster-whisper
  funasr          speech       pip install funasr torch
  pyannote        diarization  pip install pyannote.audio      (HF_TOKEN in the environment)
  xtts            voice        pip install coqui-tts           (--speaker, or --reference-audio)
  espeak-ng       voice        apt-get install espeak-ng
  gantry-voice    speech, diarization: our own program, as an example; --set KEY=VALUE

One request at a time; 127.0.0.1 alone. GET /health answers once the model is loaded. An engine is
a class with one method: hear(wav) -> (segments, language), diarize(wav, speakers) -> turns, or
speak(text, voice, speed) -> (rate, 16-bit samples as bytes).
"""

import argparse
import email.parser
import email.policy
import functools
import json
import pathlib
import shutil
import subprocess
import tempfile
import wave
from http.server import BaseHTTPRequestHandler, HTTPServer

BODY_MAX = 512 << 20


class FasterWhisper:
    def __init__(self, options):
        from faster_whisper import BatchedInferencePipeline, WhisperModel
        model = WhisperModel(options.model or "small", device=options.device,
                             compute_type=options.compute_type)
        self.hear_file = model.transcribe
        if options.batch > 1:  # so many pieces of the recording in each pass
            batched = BatchedInferencePipeline(model=model)
            self.hear_file = functools.partial(batched.transcribe, batch_size=options.batch,
                                               without_timestamps=False)

    def hear(self, wav, language):
        segments, info = self.hear_file(wav, language=language)
        return [{"start": s.start, "end": s.end, "text": s.text, "avg_logprob": s.avg_logprob}
                for s in segments], info.language


class FunAsr:
    def __init__(self, options):
        from funasr import AutoModel
        self.model = AutoModel(model=options.model or "paraformer-zh", vad_model="fsmn-vad",
                               punc_model="ct-punc", device=options.device,
                               disable_update=True)

    def hear(self, wav, language):
        segments = []
        for page in self.model.generate(input=wav, sentence_timestamp=True):
            parts = page.get("sentence_info")
            if parts:  # "start" was the last word's in some versions: its words know better
                segments += [{"start": (p.get("timestamp") or [[p["start"]]])[0][0] / 1000,
                              "end": p["end"] / 1000, "text": p["text"]} for p in parts]
            elif page.get("text"):
                segments.append({"start": 0, "end": seconds_of(wav), "text": page["text"]})
        return segments, language


class Pyannote:
    def __init__(self, options):
        import torch
        from pyannote.audio import Pipeline
        self.pipeline = Pipeline.from_pretrained(
            options.model or "pyannote/speaker-diarization-3.1")
        self.pipeline.to(torch.device(options.device))

    def diarize(self, wav, speakers):
        found = self.pipeline(wav, **({"num_speakers": speakers} if speakers else {}))
        found = getattr(found, "speaker_diarization", found)  # since pyannote.audio 4
        return [{"start": turn.start, "end": turn.end, "speaker": label}
                for turn, _, label in found.itertracks(yield_label=True)]


class Xtts:
    def __init__(self, options):
        from TTS.api import TTS
        self.tts = TTS(options.model or "tts_models/multilingual/multi-dataset/xtts_v2")
        self.tts.to(options.device)
        self.options = options

    def speak(self, text, voice, speed):
        import numpy
        own = {"speaker_wav": self.options.reference_audio} if self.options.reference_audio else {
            "speaker": voice if voice != "default" else self.options.speaker}
        samples = self.tts.tts(text, language=self.options.language or "en", speed=speed, **own)
        pcm = (numpy.clip(numpy.array(samples), -1, 1) * 32767).astype("<i2")
        return self.tts.synthesizer.output_sample_rate, pcm.tobytes()


class Espeak:
    def __init__(self, options):
        self.program = shutil.which("espeak-ng")
        if not self.program:
            raise SystemExit("espeak-ng is not installed")
        self.voice = options.speaker or "en-us"

    def speak(self, text, voice, speed):
        done = subprocess.run(
            [self.program, "--stdin", "--stdout", "-b", "1", "-s", str(round(175 * speed)), "-v",
             voice if voice != "default" else self.voice],
            input=text.encode(), capture_output=True, check=True)
        return int.from_bytes(done.stdout[24:28], "little"), done.stdout[44:]


class GantryVoice:
    def __init__(self, options):
        settings = [word for pair in options.set for word in ("--set", pair)]
        self.process = subprocess.Popen([options.program, options.model, *settings],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.line()
        if not ready.get("ready"):
            raise SystemExit(f"gantry-voice: {ready}")

    def line(self):
        return json.loads(self.process.stdout.readline() or '{"error": {"message": "it ended"}}')

    def ask(self, call, key):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        parts = []
        while not (answer := self.line()).get("done"):
            if "error" in answer:
                raise RuntimeError(answer["error"]["message"])
            if part := answer.get(key):
                parts.append({**part, "start": part["start_ms"] / 1000,
                              "end": part["end_ms"] / 1000})
        return parts

    def hear(self, wav, language):
        return self.ask({"op": "transcribe", "wav": wav}, "segment"), language

    def diarize(self, wav, speakers):
        return self.ask({"op": "diarize", "wav": wav, "speakers": speakers}, "turn")


ENGINES = {"faster-whisper": FasterWhisper, "funasr": FunAsr, "pyannote": Pyannote, "xtts": Xtts,
           "espeak-ng": Espeak, "gantry-voice": GantryVoice}


def seconds_of(path):
    with wave.open(path) as sound:
        return sound.getnframes() / sound.getframerate()


def fields_of(content_type, body):
    """A form's fields, each as bytes."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message.iter_parts()}


def wav_of(rate, pcm):
    head = b"RIFF" + (36 + len(pcm)).to_bytes(4, "little") + b"WAVEfmt " + b"".join(
        number.to_bytes(size, "little") for number, size in
        ((16, 4), (1, 2), (1, 2), (rate, 4), (rate * 2, 4), (2, 2), (16, 2)))
    return head + b"data" + len(pcm).to_bytes(4, "little") + pcm


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None

    def log_message(self, *_):
        """Nothing: a page's text and a recording are nobody's business."""

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(200 if self.path == "/health" else 404, {"status": "ok"})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_MAX:
            return self.answer(413, {"error": {"message": "too large"}})
        body = self.rfile.read(length)
        work = {"/v1/audio/transcriptions": ("hear", self.transcriptions),
                "/v1/audio/diarization": ("diarize", self.diarization),
                "/v1/audio/speech": ("speak", self.speech)}.get(self.path)
        if not work or not hasattr(self.engine, work[0]):
            return self.answer(404, {"error": {"message": f"this engine has no {self.path}"}})
        try:
            return work[1](body)
        except Exception as error:  # one bad request is no reason to end
            return self.answer(500, {"error": {"message": f"{type(error).__name__}: {error}"}})

    def with_file(self, body, work):
        fields = fields_of(self.headers["Content-Type"], body)
        with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
            wav.write(fields["file"])
            wav.flush()
            return work(wav.name, {k: v.decode() for k, v in fields.items() if k != "file"})

    def transcriptions(self, body):
        def work(wav, fields):
            segments, language = self.engine.hear(wav, fields.get("language"))
            self.answer(200, {"text": " ".join(s["text"].strip() for s in segments),
                              "language": language, "segments": segments})
        self.with_file(body, work)

    def diarization(self, body):
        self.with_file(body, lambda wav, fields: self.answer(200, {
            "turns": self.engine.diarize(wav, int(fields.get("num_speakers", 0)))}))

    def speech(self, body):
        order = json.loads(body)
        rate, pcm = self.engine.speak(order["input"], order.get("voice", "default"),
                                      order.get("speed", 1))
        self.answer(200, wav_of(rate, pcm), "audio/wav")


def main():
    parser = argparse.ArgumentParser(description="Serve an engine for sound to Gantry")
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", help="the engine's name of it, or a path")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--compute-type", default="default", help="float16, int8_float16, int8")
    parser.add_argument("--batch", type=int, default=4,
                        help="of faster-whisper: pieces of a recording in each pass")
    parser.add_argument("--language")
    parser.add_argument("--speaker", help="the voice where a request names none")
    parser.add_argument("--reference-audio", type=pathlib.Path, help="a voice to be like")
    parser.add_argument("--program", default="gantry-voice", help="of gantry-voice")
    parser.add_argument("--set", action="append", default=[], help="of gantry-voice: KEY=VALUE")
    options = parser.parse_args()
    Handler.engine = ENGINES[options.engine](options)
    HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
