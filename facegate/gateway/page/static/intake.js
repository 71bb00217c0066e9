// Where pictures come in: chosen, dropped, pasted or taken. All of them end in one event, "files".
import { MOST_BYTES } from "./api.js";
import { find } from "./dom.js";
import { takePicture } from "./webcam.js";

/** Make `host` a place where pictures come in; `take` gets the files that are not too large. */
export function intake(host, take) {
  const problem = find(".problem", host);
  const input = find("input[type=file]", host);
  host.classList.add("intake");
  host.addEventListener("files", ({ detail: files }) => {
    if (isClosed(host)) return;
    const small = files.filter((file) => file.size <= MOST_BYTES);
    problem.textContent = files.filter((file) => file.size > MOST_BYTES).map(tooLarge).join(" ");
    if (small.length) take(small);
  });
  input.addEventListener("change", () => {
    give(host, input.files);
    input.value = ""; // the same file can be chosen again
  });
  find("[name=webcam]", host).addEventListener("click", async () => {
    problem.textContent = "";
    try {
      const file = await takePicture();
      if (file) give(host, [file]);
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  host.addEventListener("dragover", (event) => host.classList.toggle("over", hasFiles(event.dataTransfer)));
  host.addEventListener("dragleave", () => host.classList.remove("over"));
  host.addEventListener("drop", (event) => {
    host.classList.remove("over");
    give(host, event.dataTransfer.files);
  });
}

function give(host, files) {
  if (files.length) host.dispatchEvent(new CustomEvent("files", { detail: [...files] }));
}

function tooLarge(file) {
  return `${file.name} has ${(file.size / 1024 / 1024).toFixed(1)} MiB; 10 MiB is the most.`;
}

const hasFiles = (transfer) => [...transfer.types].includes("Files");

const isClosed = (host) => host.matches(":disabled *");

/** Pictures pasted anywhere, and files dropped beside a place, which would otherwise leave the page. */
export function startIntake() {
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length || find("dialog[open]")) return;
    const shown = [...document.querySelectorAll(".intake")].filter((host) => host.checkVisibility() && !isClosed(host));
    const chosen = document.activeElement.closest(".intake")
      ?? shown.find((host) => host.classList.contains("vacant")) ?? shown[0];
    if (!chosen) return;
    event.preventDefault();
    give(chosen, files);
  });
}
