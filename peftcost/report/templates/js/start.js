if (DATA.setups.length) {
  useTable();
  drawFront();
  drawCurves();
  if ($("predicted")) drawPredicted();
}
