document.documentElement.classList.add("js");
(function () {
  "use strict";
  var away = new Set();
  var chips = Array.from(document.querySelectorAll(".picker button[data-m]"));
  function show() {
    document.querySelectorAll("[data-m]").forEach(function (mark) {
      if (!mark.closest(".picker")) mark.classList.toggle("away", away.has(mark.dataset.m));
    });
    chips.forEach(function (chip) { chip.setAttribute("aria-pressed", String(!away.has(chip.dataset.m))); });
  }
  chips.forEach(function (chip) {
    chip.addEventListener("click", function () {
      if (!away.delete(chip.dataset.m)) away.add(chip.dataset.m);
      show();
    });
    chip.addEventListener("dblclick", function () {
      away = new Set(chips.map(function (c) { return c.dataset.m; }));
      away.delete(chip.dataset.m);
      show();
    });
  });
  var all = document.getElementById("all");
  if (all) all.addEventListener("click", function () {
    if (away.size) away.clear(); else chips.forEach(function (c) { away.add(c.dataset.m); });
    show();
  });
  // native titles wait a second and never show on a touch screen
  var tip = document.getElementById("tip");
  document.querySelectorAll("svg title").forEach(function (title) {
    title.parentNode.setAttribute("data-tip", title.textContent);
    title.remove();
  });
  function point(event) {
    var marked = event.target.closest && event.target.closest("[data-tip]");
    if (!marked || marked.closest(".away")) { tip.style.display = "none"; return; }
    tip.textContent = marked.getAttribute("data-tip");
    tip.style.display = "block";
    var x = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 6);
    var y = event.clientY - tip.offsetHeight - 10;
    tip.style.left = Math.max(4, x) + "px";
    tip.style.top = (y < 4 ? event.clientY + 16 : y) + "px";
  }
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("scroll", function () { tip.style.display = "none"; }, { passive: true });
})();
