// One picture from the webcam, as the camera sees it; null where the user thinks better of it.
import { find } from "./dom.js";

const dialog = find("#webcam");
const video = find("video", dialog);
const note = find("[role=status]", dialog);
const WHY = {
  NotAllowedError: "The browser was not allowed to use the webcam.",
  NotFoundError: "No webcam was found.",
  NotReadableError: "The webcam is in use elsewhere.",
};

export async function takePicture() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the webcam to pages at https:// or localhost only. Choose a file instead.");
  }
  note.textContent = "Waiting for the webcam…";
  dialog.showModal();
  const closed = new Promise((resolve) => dialog.addEventListener("close", () => resolve(null), { once: true }));
  const opening = navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } } });
  opening.then((stream) => closed.then(() => stop(stream)), () => {}); // whenever it opens, it is closed
  try {
    const stream = await Promise.race([opening, closed]);
    if (!stream) return null;
    video.srcObject = stream;
    await video.play();
    note.textContent = "The preview is mirrored, the picture is not.";
    return await Promise.race([taken(), closed]);
  } catch (error) {
    if (!dialog.open) return null; // closed while it was opening
    throw new Error(WHY[error.name] ?? "The webcam could not be used.");
  } finally {
    dialog.close();
    video.srcObject = null;
  }
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function taken() {
  return new Promise((resolve) => {
    find("[name=take]", dialog).onclick = () => {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => resolve(new File([blob], "webcam.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
    };
    find("[name=cancel]", dialog).onclick = () => dialog.close();
  });
}
