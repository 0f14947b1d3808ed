// Small things that need no round trip: times in the viewer's zone, the menu on a phone, copying, dropping a file.
(() => {
  // The page carries what these messages are in its language; in English, nothing.
  const texts = JSON.parse(document.getElementById("texts")?.textContent || "{}");
  const _ = (message, values = {}) =>
    (texts[message] ?? message).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  const language = document.documentElement.lang || "en";
  const dates = language.startsWith("en") ? "en-GB" : language;
  const full = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const since = (at) => {
    const seconds = (Date.now() - at) / 1000;
    if (seconds < 45) return _("just now");
    if (seconds < 5400) return _("{count} min ago", { count: Math.round(seconds / 60) });
    if (seconds < 129600) return _("{count} h ago", { count: Math.round(seconds / 3600) });
    return _("{count} d ago", { count: Math.round(seconds / 86400) });
  };
  const localise = (time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    if ("ago" in time.dataset) {
      const said = since(at);
      if (time.textContent !== said) time.textContent = said;
    }
    if (time.title) return;
    time.title = at.toISOString().replace("T", " ").replace(".000Z", " UTC");
    if ("ago" in time.dataset) return;
    time.textContent = new Intl.DateTimeFormat(dates, "clock" in time.dataset ? clock : full).format(at);
  };
  // Quasar's tables take no keys: a heading that sorts and a table that scrolls are made reachable.
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) {
        target.tabIndex = 0;
        target.setAttribute("role", "region");
        target.setAttribute("aria-label", _("Table, scrolls sideways"));
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
      }
    }
  });
  const parts = {
    "time[datetime]": localise,
    ".q-table th.sortable": (heading) => (heading.tabIndex = 0),
    ".q-table__middle": (middle) => sizes.observe(middle),
  };
  const dress = (node) => {
    for (const [selector, act] of Object.entries(parts)) {
      if (node.matches?.(selector)) act(node);
      node.querySelectorAll(selector).forEach(act);
    }
  };
  // A table builds its cells again when anything on the page changes: what had the focus in one gets it back.
  let held = null;
  document.addEventListener("focusin", ({ target }) => {
    const cell = target.closest?.("[data-cell]");
    held = cell && { table: cell.closest(".table"), name: cell.dataset.cell };
  });
  document.addEventListener("focusout", ({ target }) => setTimeout(() => {
    if (target.isConnected && document.activeElement === document.body) held = null;
  }));
  const hold = () => {
    if (!held || document.activeElement !== document.body) return;
    const cells = [...held.table.querySelectorAll("[data-cell]")];
    cells.find((cell) => cell.dataset.cell === held.name)?.querySelector("a, button")?.focus({ preventScroll: true });
  };
  // What opened a dialog has the focus again when that closes, also where it was drawn anew meanwhile; else the content.
  let opener = {};
  document.addEventListener("focusin", ({ target }) => {
    if (document.querySelector(".q-dialog")) return; // Tab goes round by way of the page
    opener = { id: target.closest("[id]")?.id, cell: target.closest("[data-cell]")?.dataset.cell };
  });
  const giveBack = () => {
    if (document.activeElement !== document.body || document.querySelector(".q-dialog")) return;
    const place = document.getElementById(opener.id);
    const cells = [...(place?.querySelectorAll("[data-cell]") ?? [])];
    const cell = cells.find((one) => one.dataset.cell === opener.cell);
    (cell ? cell.querySelector("a, button") : opener.cell ? null : place)?.focus({ preventScroll: true });
    if (document.activeElement === document.body) document.getElementById("content")?.focus({ preventScroll: true });
  };
  // What an address names after its # comes later than the page: it is gone to once it is there, and opened.
  let wanted = location.hash;
  const goTo = () => {
    const target = wanted && document.getElementById(decodeURIComponent(wanted.slice(1)));
    if (!target) return;
    wanted = "";
    if (target.matches("details")) target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", () => {
    wanted = location.hash;
    goTo();
  });
  new MutationObserver((changes) => {
    goTo();
    for (const { addedNodes, removedNodes } of changes) {
      for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) dress(node);
      for (const node of removedNodes) if (node.id?.startsWith("q-portal--dialog")) setTimeout(giveBack, 50);
    }
    hold();
  }).observe(document.documentElement, { childList: true, subtree: true });
  dress(document);
  setInterval(() => document.querySelectorAll("time[data-ago]").forEach(localise), 10_000);

  const showMenu = (open) => {
    document.body.classList.toggle("nav-open", open);
    document.querySelector("[data-menu]")?.setAttribute("aria-expanded", String(open));
  };
  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-menu], .backdrop, [data-copy]");
    if (!target) return;
    if (target.matches("[data-menu]")) showMenu(!document.body.classList.contains("nav-open"));
    if (target.matches(".backdrop")) showMenu(false);
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
      target.textContent = _("Copied");
      setTimeout(() => (target.textContent = _("Copy")), 1500);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("nav-open")) {
      showMenu(false);
      document.querySelector("[data-menu]")?.focus();
    }
    if ((event.key === "Enter" || event.key === " ") && event.target.matches?.("th.sortable")) {
      event.preventDefault();
      event.target.click();
    }
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
      text.textContent = _("{name} is larger than {most}; a command on the appliance's host takes it, see Help.", {
        name: file.name, most: zone.dataset.most,
      });
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
      text.textContent = _("{name}: {percent} % of {size} MB sent", {
        name: file.name, percent: Math.round(share * 100), size: (event.total / 1e6).toFixed(1),
      });
    };
    request.onload = () => {
      end();
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { detail: _("the upload was answered with HTTP {status}", { status: request.status }) };
      }
      zone.dispatchEvent(new CustomEvent("uploaded", { detail: { ok: request.status < 300, ...answer } }));
    };
    request.onerror = () => {
      end();
      zone.dispatchEvent(new CustomEvent("uploaded", { detail: { ok: false, detail: _("the connection broke; try again") } }));
    };
    request.onabort = () => end(_("Upload stopped; nothing was kept. Drop a file to try again."));
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
// A tab that nobody sees asks for nothing, from the start: the page may not have been built yet when it loads hidden.
const tellHidden = () => {
  try {
    emitEvent("tab-hidden", document.hidden);
  } catch {
    setTimeout(tellHidden, 100);
  }
};
document.addEventListener("visibilitychange", tellHidden);
if (document.hidden) tellHidden();
// A tab that went on to another page comes back to this one by loading it anew: the server need not wait for it.
addEventListener("pagehide", (event) => {
  if (!event.persisted && window.socket?.connected) emitEvent("page-left");
});
