"""Made-up receipts, invoices and forms, drawn with letters as the samples are: see document_samples.py."""

import re
from itertools import groupby

from multimodal_llm.document_understanding.document import Block, Line, Page, Word
from multimodal_llm.document_understanding.document_samples import pieces_of, places

CHAR, ROW, HEIGHT = 10.0, 32.0, 22.0


def page_of(drawing: str, number: int = 1) -> Page:
    """The page that a drawing shows, a block for each row, as recognition would give it without a layout."""
    blocks = []
    for row, pieces in groupby(pieces_of(drawing), key=lambda piece: piece.row):
        lines = []
        for piece in pieces:
            top, bottom = 20 + row * ROW, 20 + row * ROW + HEIGHT * (1.5 if piece.large else 1.0)
            words = []
            for word in re.finditer(r"\S+", piece.text):
                x = 20 + CHAR * (piece.start + places(piece.text[: word.start()]))
                words.append(Word(word[0], (x, top, x + CHAR * places(word[0]), bottom), 0.98))
            box = (20 + CHAR * piece.start, top, 20 + CHAR * piece.end, bottom)
            lines.append(Line(piece.text, box, 0.98, tuple(words)))
        box = (lines[0].box[0], lines[0].box[1], lines[-1].box[2], lines[0].box[3])
        blocks.append(Block("text", box, 0.0, tuple(lines)))
    right = max((block.box[2] for block in blocks), default=0.0)
    bottom = max((block.box[3] for block in blocks), default=0.0)
    return Page(number, right + 20, bottom + 20, "ocr" if blocks else "empty", blocks=tuple(blocks))


DINER = """
#            BLUE HERON DINER
          482 Canal Street
       Springfield, IL 62701
           (217) 555-0143

Server: Maya                Table 12
03/14/2024   7:42 PM        Check 1187

2 Catfish plate                31.90
1 Iced tea                      2.75
1 Pecan pie                     6.50

Subtotal                       41.15
Sales tax 8.25%                 3.39
Total                          44.54

VISA ****1187                  44.54
Tip                             8.00

        Thank you, come again!
"""

INVOICE_UK = """
#INVOICE                                      Harcourt & Wells Ltd
                                               14 Mill Lane
Invoice no: HW-2291                            Leeds LS1 4DY
Invoice date: 7 February 2023                  VAT reg no: GB 123 4567 89
Due date: 9 March 2023

Bill to:
Orchard Media Limited
3 Baker Street
London NW1 6XE

Description                       Qty       Price        Amount
Consulting, January                12       85.00      1,020.00
Travel                              1      142.50        142.50

                                  Net total            1,162.50
                                  VAT 20%                232.50
                                  Total due           £1,395.00

Please pay by bank transfer within 30 days.
"""

RECHNUNG = """
#Bergmann Elektro GmbH
Lindenstraße 27
50674 Köln
Tel. 0221 4455667

Rechnung Nr. 2024-0311
Rechnungsdatum: 12.03.2024
Lieferdatum: 10.03.2024

Pos   Bezeichnung                     Betrag
1     Leuchte Typ 4                   899,00
2     Montage                         138,45

Summe netto                         1.037,45
MwSt. 19%                             197,12
Gesamtbetrag                        1.234,57 €
"""

SUPERMARKET_ZH = """
#            家家乐超市
     地址：杭州市文三路 128 号
       电话：0571-88765432

收银员：03          单号：20240518-0077
日期：2024-05-18 19:22:41

商品           数量     单价      金额
苹果            1.2     9.80     11.76
牛奶              2    12.50     25.00
面包              1     8.90      8.90

小计                             45.66
优惠                              0.66
合计                             45.00
现金                             50.00
找零                              5.00
       谢谢惠顾，欢迎再次光临
"""

FAPIAO = """
#                 电子发票（普通发票）
                                             发票号码：24332000000012345678
                                             开票日期：2024年03月12日

购买方信息                                   销售方信息
名称：上海云舟信息技术有限公司                 名称：苏州湖畔科技有限公司
纳税人识别号：91310000MA1FL00X                纳税人识别号：91320500MA1WU00Y

项目名称            数量     单价          金额      税率       税额
*软件*维护服务         1   1000.00      1000.00      13%     130.00
合    计                               ¥1000.00            ¥130.00
价税合计（大写）壹仟壹佰叁拾元整                 （小写）¥1130.00

备注                                         开票人：李雷
"""

KEDAI = """
#       KEDAI RUNCIT SERI MURNI
            (002345678-X)
     NO 15, JALAN MERBAU 4,
     34000 TAIPING, PERAK
       TEL: 05-8071234

TARIKH : 21/11/2019     MASA : 10:12
RESIT NO: 0009821

GULA 1KG         2 X 2.85       5.70
TEPUNG           1 X 2.40       2.40

JUMLAH BESAR                 RM 8.10
TUNAI                       RM 10.00
BAKI                         RM 1.90

     TERIMA KASIH, DATANG LAGI
"""

INVOICE_US = """
#Invoice

Northwind Robotics, Inc.                       Amount due
77 Harbor Drive                                $1,284.60
Portland, OR 97201
billing@northwind.example                      Invoice date
                                               March 12, 2024

Bill to                                        Due date
Cedar Labs LLC                                 April 11, 2024
9 Pine Road
Boise, ID 83702

Item                      Quantity        Price         Total
Servo unit                       4       299.00      1,196.00
Shipping                         1        88.60         88.60

"""

SINGAPORE = """
#          LOTUS TEA HOUSE
        LOTUS TEA HOUSE PTE LTD
      10 BAYFRONT AVE #01-22
        SINGAPORE 018956
     GST REG NO: 201412345K
           TAX INVOICE
POS 02   18 Aug 2022 13:05:09

1 MILK TEA                     4.80
2 TOAST SET                   11.60
SUBTOTAL                      16.40
10% SVC CHG                    1.64
7% GST                         1.26
ROUNDING                      -0.00
TOTAL  SGD                    19.30
MASTERCARD                    19.30
"""

CARD_SLIP_ZH = """
#              签购单
商户名称：老城根火锅店
商户编号：898330158120001
终端编号：10023456
卡号：6222 **** **** 1234
交易类型：消费
日期时间：2023/12/31 21:08:55
金额：RMB 258.00
        持卡人签名：
        商户存根联
"""

FUEL = """
#        SHORELINE FUEL
        PUMP 4   UNLEADED
        2023-07-09 08:15
    LITRES              38.20
    PRICE PER L          1.65
    AMOUNT PAID      A$ 63.03
    GST INCLUDED        $5.73
"""

FORM = """
#          LIBRARY CARD APPLICATION

Full name: Amelia Hart             Date of birth: 04/09/1991
Address: 12 Quarry Hill, Bath BA1 2QN
Phone: 01225 555 019               E-mail: amelia@example.org

Occupation                         Preferred branch
Bookbinder                         Walcot Street

Card number: 7781-2204             Valid until: 31/12/2026
"""

FORM_ZH = """
#               会员登记表
姓名：王小明                     性别：男
出生日期：1990年5月6日           联系电话：13800138000
地址：北京市海淀区中关村大街 1 号
会员编号：A20931                 登记日期：2024年2月1日
"""

PROSE = """
#The river gauge

The gauge was built by the city in 1911 and is read by hand each morning.
A bronze plate on its north side tells the height of every flood.
The highest of them came in the spring of 1954 after three weeks of rain.
"""

HOTEL = """
                 HOTEL BELVEDERE S.A.R.L.
              14 rue des Lilas, 75011 Paris
Guest: M. Durand                  Invoice date: 02.06.2023
Arrival: 30.05.2023               Departure: 02.06.2023
Room 3 nights                      360,00
City tax                             9,90
Breakfast                           36,00
Total TTC EUR                      405,90
Paid by card                       405,90
"""

NASI_KANDAR = """
#     NASI KANDAR PELITA BARU
#          SDN. BHD.
   (Co. No. 771122-X)
   149, JALAN AMPANG,
   50450 KUALA LUMPUR
   SST ID : W10-1808-32000123
   Inv : 22817     10-09-2019 20:15
  Nasi Kandar Ayam       12.50
  Teh Tarik               2.80
  Total                  15.30
  Service Tax 6%          0.92
  Rounding               -0.02
  Nett Total             16.20
  Cash                   20.00
  Balance                 3.80
"""

BISTRO_ZH = """
#        和顺小馆
桌号：A12      人数：4
时间：2023-11-02 18:33
宫保鸡丁      38.00
米饭  x4       8.00
消费合计：46.00
优惠金额：6.00
实付金额：40.00
支付方式：微信支付
电话：010-62345678
地址：北京市朝阳区光华路 9 号
"""

GROCERY = """
#   FRESH VALLEY MARKET #221
   3300 W Pico Blvd
   Los Angeles CA 90019
   Store (323) 555-0199
 BANANAS          1.29 F
 MILK 1 GAL       4.59 F
 SHAMPOO          6.99 T
   TAX            0.66
   BALANCE       13.53
   DEBIT         13.53
   CHANGE         0.00
 08/22/23 06:41PM 221 4 0098
"""

STUDIO = """
INVOICE
From: Ilse Brandt Design Studio            Invoice #: 0093
      22 Canal Row, Unit 7                 Date: 2024-02-09
      Albany, NY 12207                     Terms: Net 30

To:   Kestrel Publishing Inc.
      500 Fifth Avenue, New York, NY 10110

Cover design                                       $1,800.00
Revisions (4 h)                                      $480.00
Subtotal                                           $2,280.00
Discount                                            -$180.00
TOTAL                                              $2,100.00
"""

EXPECTED = {
    "diner": (DINER, {
        "company": "BLUE HERON DINER", "date": "03/14/2024", "total": "44.54",
        "address": "482 Canal Street Springfield, IL 62701",
    }),
    "invoice_uk": (INVOICE_UK, {
        "company": "Harcourt & Wells Ltd", "date": "7 February 2023", "total": "1,395.00",
        "address": "14 Mill Lane Leeds LS1 4DY",
    }),
    "rechnung": (RECHNUNG, {
        "company": "Bergmann Elektro GmbH", "date": "12.03.2024", "total": "1.234,57",
        "address": "Lindenstraße 27 50674 Köln",
    }),
    "supermarket_zh": (SUPERMARKET_ZH, {
        "company": "家家乐超市", "date": "2024-05-18", "total": "45.00", "address": "杭州市文三路 128 号",
    }),
    "fapiao": (FAPIAO, {"company": "苏州湖畔科技有限公司", "date": "2024年03月12日", "total": "1130.00"}),
    "kedai": (KEDAI, {
        "company": "KEDAI RUNCIT SERI MURNI", "date": "21/11/2019", "total": "8.10",
        "address": "NO 15, JALAN MERBAU 4, 34000 TAIPING, PERAK",
    }),
    "invoice_us": (INVOICE_US, {
        "company": "Northwind Robotics, Inc.", "date": "March 12, 2024", "total": "1,284.60",
        "address": "77 Harbor Drive Portland, OR 97201",
    }),
    "singapore": (SINGAPORE, {
        "company": "LOTUS TEA HOUSE PTE LTD", "date": "18 Aug 2022", "total": "19.30",
        "address": "10 BAYFRONT AVE #01-22 SINGAPORE 018956",
    }),
    "card_slip_zh": (CARD_SLIP_ZH, {"company": "老城根火锅店", "date": "2023/12/31", "total": "258.00"}),
    "fuel": (FUEL, {"company": "SHORELINE FUEL", "date": "2023-07-09", "total": "63.03"}),
    "hotel": (HOTEL, {
        "company": "HOTEL BELVEDERE S.A.R.L.", "date": "02.06.2023", "total": "405,90",
        "address": "14 rue des Lilas, 75011 Paris",
    }),
    "nasi_kandar": (NASI_KANDAR, {
        "company": "NASI KANDAR PELITA BARU SDN. BHD.", "date": "10-09-2019", "total": "16.20",
        "address": "149, JALAN AMPANG, 50450 KUALA LUMPUR",
    }),
    "bistro_zh": (BISTRO_ZH, {
        "company": "和顺小馆", "date": "2023-11-02", "total": "40.00", "address": "北京市朝阳区光华路 9 号",
    }),
    "grocery": (GROCERY, {
        "company": "FRESH VALLEY MARKET #221", "date": "08/22/23", "total": "13.53",
        "address": "3300 W Pico Blvd Los Angeles CA 90019",
    }),
    "studio": (STUDIO, {
        "company": "Ilse Brandt Design Studio", "date": "2024-02-09", "total": "2,100.00",
        "address": "22 Canal Row, Unit 7 Albany, NY 12207",
    }),
}  # fmt: skip
"""What a person reads off each: the fields that are there. The forms are in none of them: see the questions' tests."""
