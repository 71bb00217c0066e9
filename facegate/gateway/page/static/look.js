// Look: every face of one picture.
import { call } from "./api.js";
import { element, find, table } from "./dom.js";
import { Picture } from "./picture.js";
import { Result } from "./result.js";
import { livenessOf, livenessWords } from "./words.js";

export function start(view) {
  const form = find("form", view);
  const result = new Result(find(".result", view));
  const stale = () => {
    result.clear();
    picture?.mark([], "");
  };
  let picture = null;
  picture = new Picture(find(".slot", view), "Picture", { changed: stale });
  form.liveness.addEventListener("change", stale);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!picture.file) {
      result.want("Choose a picture first.");
      return;
    }
    stale();
    result.run("Looking…", (signal) => look(picture, form.liveness.checked, result, signal));
  });
}

async function look(picture, asked, result, signal) {
  const answer = await call("v1/face/analyze", { img: picture.file, anti_spoofing: asked }, signal);
  const faces = answer.faces.map((face) => ({ ...face, look: livenessOf(asked, face.is_real, face.antispoof_score) }));
  picture.mark(faces.map((face, index) => ({ ...face, label: `${index + 1}${asked ? ` ${face.look.toUpperCase()}` : ""}` })), "");
  const word = faces.length === 1 ? "1 FACE" : `${faces.length || "NO"} FACES`;
  const footnote = element("p", "hint", `pack ${answer.model}`);
  if (faces.length) result.show("open", word, summary(faces, asked), facesTable(faces), footnote);
  else result.show("open", word, "Nothing in this picture looks like a face.", footnote);
}

function summary(faces, asked) {
  if (!asked) return "Whether they are live was not checked.";
  const real = faces.filter((face) => face.look === "real").length;
  return `${real} real, ${faces.length - real} fake.`;
}

function facesTable(faces) {
  const rows = faces.map((face, index) => [
    String(index + 1),
    element("strong", face.look, livenessWords(face.look, face.antispoof_score)),
    face.face_confidence.toFixed(3),
    `${Math.round(face.region.w)} × ${Math.round(face.region.h)} at ${Math.round(face.region.x)}, ${Math.round(face.region.y)}`,
  ]);
  return table("The best-detected first", ["Face", "Liveness", "Detection score", "Pixels"], rows);
}
