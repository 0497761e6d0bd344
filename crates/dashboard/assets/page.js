// What htmx does not do by itself: a part that is fetched again must not take away what somebody is using.
(() => {
  "use strict";
  const live = () => document.getElementById("live");
  let late = false;

  const inUse = () => {
    const part = live();
    const at = document.activeElement;
    const selected = window.getSelection();
    return Boolean(
      part &&
        ((part.contains(at) && at.matches("input, select, textarea, summary, video, pre")) ||
          part.querySelector("details[open], video") ||
          (selected && !selected.isCollapsed && part.contains(selected.anchorNode)))
    );
  };

  // A link that has the focus has it afterwards too.
  let focused = null;

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target !== live()) return;
    if (document.hidden || inUse()) {
      late = true;
      event.preventDefault();
    }
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target && event.detail.target.id === "result") {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    } else if (event.detail.target === live()) {
      if (event.detail.xhr.status >= 400 || inUse()) {
        late = true;
        event.detail.shouldSwap = false;
        return;
      }
      const at = document.activeElement;
      focused = at && live().contains(at) ? at.id || at.getAttribute("href") : null;
    }
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (!focused || !live()) return;
    const same = Array.from(live().querySelectorAll("a, button")).find(
      (one) => one.id === focused || one.getAttribute("href") === focused
    );
    if (same) same.focus({ preventScroll: true });
    focused = null;
  });

  const catchUp = () => {
    if (!late || document.hidden || inUse() || !live()) return;
    late = false;
    window.htmx.trigger(live(), "refresh");
  };
  document.addEventListener("toggle", () => window.setTimeout(catchUp, 500), true);
  document.addEventListener("focusout", () => window.setTimeout(catchUp, 500));
  document.addEventListener("visibilitychange", catchUp);
  document.addEventListener("selectionchange", () => window.setTimeout(catchUp, 1000));

  // Relative times go on while nothing happens.
  const words = (since) => {
    const minutes = Math.floor(since / 60000);
    const hours = Math.floor(minutes / 60);
    if (minutes < 1) return "just now";
    if (minutes < 60) return `${minutes} min ago`;
    return hours < 24 ? `${hours} h ${minutes % 60} min ago` : `${Math.floor(hours / 24)} d ago`;
  };
  let skew = null;
  const tick = () => {
    if (document.hidden || !live()) return;
    // The server's clock counts, as the journal's does.
    if (skew === null) skew = Number(live().dataset.now) - Date.now();
    for (const time of document.querySelectorAll("time")) {
      if (!/ago$|^just now$/.test(time.textContent)) continue;
      const since = Date.now() + skew - Date.parse(time.dateTime);
      if (since >= 0) time.textContent = words(since);
    }
  };
  window.setInterval(tick, 20000);
})();
