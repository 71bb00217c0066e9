// Identify: whose face is it?
import { call } from "./api.js";
import { element, find, table } from "./dom.js";
import { written } from "./labels.js";
import { Picture } from "./picture.js";
import { Result } from "./result.js";
import { scale } from "./scale.js";
import { digitsOf, identity, livenessOf, livenessWords } from "./words.js";

export function start(view) {
  const form = find("form", view);
  const result = new Result(find(".result", view));
  let picture = null;
  const stale = () => {
    result.clear();
    picture?.mark([], "");
  };
  picture = new Picture(find(".slot", view), "Picture", { changed: stale });
  for (const input of [form.liveness, form.margin]) input.addEventListener("input", stale);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!picture.file) {
      result.want("Choose a picture first.");
      return;
    }
    stale();
    const [asked, margin] = [form.liveness.checked, form.margin.value];
    result.run("Identifying…", (signal) => identify(picture, asked, margin, result, signal));
  });
  return stale;
}

async function identify(picture, asked, margin, result, signal) {
  const answer = await call("v1/face/identify", { img: picture.file, margin, anti_spoofing: asked }, signal);
  const look = livenessOf(asked, answer.is_real, answer.antispoof_score);
  const words = livenessWords(look, answer.antispoof_score);
  const { kind, word, sentence } = identity(answer, look, answer.antispoof_score);
  const more = answer.face_count > 1 ? ` · ${answer.face_count} faces, the largest is identified` : "";
  const label = { real: "REAL", fake: "FAKE" }[look];
  picture.mark([{ region: answer.face, look, label }], `${picture.file.name} · ${words}${more}`);
  const details = [element("ul", "faces", element("li", look, element("strong", "", words)))];
  const [first] = look === "fake" ? [] : answer.matches;
  if (first) details.push(scale(first.distance, answer.threshold), matchTable(answer));
  result.show(kind, word, sentence, ...details);
}

function matchTable({ matches, threshold }) {
  const rows = matches.map((match) => [
    element("span", "", match.name, element("span", "hint block", written(match.labels))),
    digitsOf(match.distance, 3),
    match.match ? "match" : match.distance < threshold ? "under the threshold, not meant" : "too far",
  ]);
  return table("The nearest people", ["Name", "Distance", "Verdict"], rows);
}
