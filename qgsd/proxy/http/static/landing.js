// SPDX-License-Identifier: GPL-2.0-or-later
// Copying service addresses.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const address = new URL(button.dataset.copy, document.baseURI).href;
    try {
      await navigator.clipboard.writeText(address);
      button.textContent = "copied";
    } catch {
      // Without https browsers refuse; then the address can at least be taken by hand.
      window.prompt("The address:", address);
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
