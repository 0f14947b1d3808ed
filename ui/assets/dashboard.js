// Small things that need no round trip: the menu on a phone, copying, dropping a file.
(() => {
  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-menu], .backdrop, [data-copy]");
    if (!target) return;
    if (target.matches("[data-menu]")) document.body.classList.toggle("nav-open");
    if (target.matches(".backdrop")) document.body.classList.remove("nav-open");
    if (target.matches("[data-copy]")) {
      const text = target.parentElement.querySelector("pre").innerText;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Without https the clipboard is closed to pages; selecting and copying still works.
        const area = Object.assign(document.createElement("textarea"), { value: text });
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      target.textContent = "Copied";
      setTimeout(() => (target.textContent = "Copy"), 1500);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.body.classList.remove("nav-open");
  });

  const zoneOf = (event) => event.target.closest && event.target.closest(".drop");
  const send = (zone, file) => {
    const bar = zone.querySelector(".progress > i");
    const text = zone.querySelector(".drop-text");
    const stop = zone.querySelector(".stop");
    const idle = text.dataset.idle || (text.dataset.idle = text.textContent);
    const request = new XMLHttpRequest();
    const end = (message) => {
      zone.classList.remove("busy");
      bar.style.width = "0";
      text.textContent = message || idle;
    };
    if (file.size > Number(zone.dataset.limit)) {
      const most = `${(Number(zone.dataset.limit) / 1e6).toFixed(1)} MB`;
      text.textContent = `${file.name} is larger than ${most}, the most that is taken. Add it with the command below.`;
      return;
    }
    zone.classList.add("busy");
    stop.onclick = (event) => {
      event.preventDefault();
      request.abort();
    };
    request.upload.onprogress = (event) => {
      const share = event.total ? event.loaded / event.total : 0;
      bar.style.width = `${Math.round(share * 100)}%`;
      text.textContent = `${file.name}: ${Math.round(share * 100)} % of ${(event.total / 1e6).toFixed(1)} MB sent`;
    };
    request.onload = () => {
      end();
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { detail: `the upload was answered with HTTP ${request.status}` };
      }
      zone.dispatchEvent(new CustomEvent("uploaded", { detail: { ok: request.status < 300, ...answer } }));
    };
    request.onerror = () => {
      end();
      zone.dispatchEvent(new CustomEvent("uploaded", { detail: { ok: false, detail: "the connection broke; try again" } }));
    };
    request.onabort = () => end("Upload stopped; nothing was kept. Drop a file to try again.");
    request.open("POST", `${zone.dataset.url}?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  };
  document.addEventListener("dragover", (event) => {
    const zone = zoneOf(event);
    if (!zone) return;
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => zoneOf(event)?.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    const zone = zoneOf(event);
    if (!zone) return;
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) send(zone, event.dataTransfer.files[0]);
  });
  document.addEventListener("change", (event) => {
    const zone = zoneOf(event);
    if (!zone || event.target.type !== "file" || !event.target.files.length) return;
    send(zone, event.target.files[0]);
    event.target.value = "";
  });
})();
document.addEventListener("visibilitychange", () => {
  if (typeof emitEvent === "function") emitEvent("tab-hidden", document.hidden);
});
