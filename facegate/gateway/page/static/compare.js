// Compare: two pictures, one verdict.
import { call } from "./api.js";
import { element, find } from "./dom.js";
import { Picture } from "./picture.js";
import { Result } from "./result.js";
import { scale } from "./scale.js";
import { comparison, livenessOf, livenessWords } from "./words.js";

export function start(view) {
  const form = find("form", view);
  const result = new Result(find(".result", view));
  const stale = () => {
    result.clear();
    for (const picture of pictures) picture.mark([], "");
  };
  const pictures = [];
  for (const [index, host] of view.querySelectorAll(".slot").entries()) {
    pictures.push(new Picture(host, `Picture ${index + 1}`, {
      changed: stale,
      extra: ([other]) => other && pictures[1 - index].set(other),
    }));
  }
  form.liveness.addEventListener("change", stale);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const missing = pictures.find((picture) => !picture.file);
    if (missing) {
      result.want(`Choose ${missing.title.toLowerCase()} first.`);
      return;
    }
    stale();
    result.run("Comparing…", (signal) => compare(pictures, form.liveness.checked, result, signal));
  });
}

async function compare(pictures, asked, result, signal) {
  const [img1, img2] = pictures.map((picture) => picture.file);
  const answer = await call("v1/face/verify", { img1, img2, anti_spoofing: asked }, signal);
  const faces = [1, 2].map((number) => ({
    region: answer[`img${number}_area`],
    look: livenessOf(asked, answer[`img${number}_is_real`], answer[`img${number}_antispoof_score`]),
    score: answer[`img${number}_antispoof_score`],
  }));
  const { verified, word, sentence } = comparison(answer, faces.map((face) => face.look));
  result.show(verified ? "good" : "bad", word, sentence,
    scale(answer.distance, answer.threshold), livenessList(faces), footnote(answer));
  for (const [index, picture] of pictures.entries()) {
    mark(picture, faces[index], []);
    addLandmarks(picture, faces[index], signal);
  }
}

function livenessList(faces) {
  return element("ul", "faces", ...faces.map((face, index) => element("li", face.look,
    `Face of picture ${index + 1}: `, element("strong", "", livenessWords(face.look, face.score)))));
}

function footnote(answer) {
  return element("p", "hint", `confidence ${answer.confidence.toFixed(0)} of 100 · pack ${answer.model}`
    + ` · ${answer.processing_time_ms.toFixed(0)} ms`);
}

/** A verdict has boxes only. Landmarks are an extra: where they cannot be had, the verdict stands without. */
async function addLandmarks(picture, face, signal) {
  try {
    const { faces } = await call("v1/face/analyze", { img: picture.file, anti_spoofing: false }, signal);
    mark(picture, face, faces);
  } catch {
    // the boxes are there
  }
}

function mark(picture, face, found) {
  const distance = ({ region }) => Math.abs(region.x - face.region.x) + Math.abs(region.y - face.region.y);
  const [same, ...others] = [...found].sort((a, b) => distance(a) - distance(b));
  const label = { real: "REAL", fake: "FAKE", unchecked: "" }[face.look];
  const marks = others.map(({ region }) => ({ region, look: "aside" }));
  marks.push({ region: face.region, landmarks: same?.landmarks, look: face.look, label });
  const more = others.length ? ` · ${others.length + 1} faces, the best-detected is compared` : "";
  picture.mark(marks, `${picture.file.name} · ${livenessWords(face.look, face.score)}${more}`);
}
